#!/usr/bin/perl
# make.pl - writes the vectors of formats/stream.md into passed/ and failed/ beside itself. It shares no code with the programs:
# a second implementation of the format. usage: perl make.pl [DIR]
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);

my $dir = $ARGV[0] // dirname($0);
mkdir "$dir/$_" for qw(passed failed);
my $magic = "\xA8MOES\r\n\x1a\n";

sub raw { return \ (my $s = join '', @_) }            # bytes as they are
sub text { my $s = shift; my $n = length $s; return ($n < 32 ? chr(0xa0 | $n) : $n < 256 ? "\xd9" . chr $n : "\xda" . pack 'n', $n) . $s }
sub bin { my $s = shift; my $n = length $s; return raw(($n < 256 ? "\xc4" . chr $n : "\xc5" . pack 'n', $n) . $s) }
sub value {
	my $v = shift;
	return $$v if ref $v eq 'SCALAR' || ref $v eq 'REF';
	return "\xc0" unless defined $v;
	return chr(0x90 | @$v) . join '', map { value($_) } @$v if ref $v eq 'ARRAY';
	return chr($v) if $v =~ /^\d+$/ && $v < 128;
	return text($v);
}
sub map_of { my @kv = @_; my $s = chr(0x80 | @kv / 2); while (my ($k, $v) = splice @kv, 0, 2) { $s .= text($k) . value($v) } return $s }
sub header { return $magic . map_of(argv => ['make.pl'], kind => 'rollouts', labels => 'none', seed => 1, tool => 'make.pl', v => [1, 0], @_) }
sub segment {                                          # header and records; the end is added
	my ($n, $body, %o) = @_;
	return $body . map_of(t => 'end', from => $o{from} // [], labels => $o{labels} // 'none', n => $o{n} // $n, sha256 => exists $o{sha} ? $o{sha} : sha256_hex($body));
}
sub put { my ($name, $bytes) = @_; open my $f, '>:raw', "$dir/$name.moes" or die "$name: $!"; print $f $bytes; close $f or die }

my $rec = map_of(t => 'rollout', id => 'a');
my $whole = segment(2, header() . $rec . $rec);

# ---- accepted. Names that end in _c are canonical: they come back byte for byte from JSON ----
put 'passed/empty_segment_c', segment(0, header());
put 'passed/two_records_c', $whole;
put 'passed/two_segments_c', $whole . segment(1, header() . $rec, from => [sha256_hex('x')], labels => 'oracle');
put 'passed/no_digest_c', segment(1, header() . $rec, sha => undef);
put 'passed/minor_version_c', segment(1, $magic . map_of(argv => [], future => 'key', kind => 'rollouts', labels => 'none', seed => 1, tool => 'x', v => [1, 9]) . $rec);
put 'passed/all_kinds_of_values_c', segment(1, header() . map_of(t => 'x', array => [1, 'a', undef, []], bin => bin("\x00\xff"), f => raw("\xcb\x3f\xf8" . "\0" x 6),
	false => raw("\xc2"), inf => raw("\xcb\x7f\xf0" . "\0" x 6), int16 => raw("\xd1\x80\x00"), int32 => raw("\xd2\x80\x00\x00\x00"),
	int64 => raw("\xd3\x80" . "\0" x 7), int8 => raw("\xd0\x80"), map => raw(map_of(a => 1)), nan => raw("\xcb\x7f\xf8" . "\0" x 6), ni => raw("\xe0")));
put 'passed/unsigned_c', segment(1, header() . map_of(t => 'x', u16 => raw("\xcd\xff\xff"), u32 => raw("\xce\xff\xff\xff\xff"), u64 => raw("\xcf" . "\xff" x 8), u8 => raw("\xcc\xff")));
put 'passed/text_that_is_no_utf8_c', segment(1, header() . map_of(t => 'x', s => raw("\xa3a\xff\x80")));
put 'passed/dollar_keys_c', segment(1, header() . map_of(t => 'x', a => raw(map_of('$bin' => 'x')), b => raw(map_of('$$' => 1)), c => raw(map_of('$bin' => 1, z => 2))));
put 'passed/controls_c', segment(1, header() . map_of(t => 'x', s => join '', map { chr } 0 .. 31, 127));
put 'passed/eight_levels_c', segment(1, header() . map_of(t => 'x', a => raw("\x91" x 7 . "\x01")));
put 'passed/bin_in_eight_levels_c', segment(1, header() . map_of(t => 'x', a => raw("\x91" x 7 . "\xc4\1\0")));
put 'passed/tensors_c', segment(3, header() . map_of(t => 'tensor', data => bin("\0" x 8), dtype => 'F32', name => 'w', offset => 0, shape => [2]) .
	map_of(t => 'tensor', data => bin(''), dtype => 'BF16', name => 'e', offset => 0, shape => [0, 3]) .
	map_of(t => 'x', v => raw(map_of(data => bin("\1\0\0\0"), dtype => 'I32', shape => []))));
put 'passed/tensor_in_chunks_c', segment(3, header() . join '', (map { map_of(t => 'tensor', data => bin("\0" x 4), dtype => 'F32', name => 'w', offset => 4 * $_, shape => [3]) } 0 .. 2));
put 'passed/long_text_c', segment(1, header() . map_of(t => 'x', s => 'y' x 300));
put 'passed/wide_heads', segment(1, header() . "\xdf\0\0\0\2" . "\xd9\1t" . "\xdb\0\0\0\1x" . "\xda\0\1i" . "\xd3" . "\0" x 7 . "\5");
put 'passed/float32', segment(1, header() . map_of(t => 'x', f => raw("\xca\x3f\xc0\0\0")));
put 'passed/other_nan', segment(1, header() . map_of(t => 'x', f => raw("\xcb\xff\xf8" . "\0" x 5 . "\1")));
put 'passed/keys_in_any_order', segment(1, header() . map_of(z => 1, t => 'x', b => raw(map_of(b => 1, a => 2)), a => 3));

# ---- refused ----
put 'failed/nothing', '';
put 'failed/no_magic', $rec;
put 'failed/magic_with_changed_newline', "\xA8MOES\n\n\x1a\n" . substr($whole, 9);
put 'failed/cut_in_magic', substr $whole, 0, 5;
put 'failed/cut_in_header', substr $whole, 0, 30;
put 'failed/no_end', header() . $rec;
put 'failed/cut_in_end', substr $whole, 0, -1;
put 'failed/cut_in_second_segment', $whole . substr $whole, 0, 40;
put 'failed/text_between_segments', $whole . "\n" . $whole;
put 'failed/major_version', segment(0, $magic . map_of(kind => 'rollouts', v => [2, 0]));
put 'failed/no_version', segment(0, $magic . map_of(kind => 'rollouts'));
put 'failed/no_kind', segment(0, $magic . map_of(v => [1, 0]));
put 'failed/header_with_t', segment(0, header(t => 'x'));
put 'failed/header_no_map', $magic . "\x91\x01";
put 'failed/unknown_labels', segment(0, $magic . map_of(kind => 'x', labels => 'secret', v => [1, 0]));
put 'failed/record_no_map', segment(1, header() . "\x05");
put 'failed/record_without_t', segment(1, header() . map_of(id => 'a'));
put 'failed/record_of_type_header', segment(1, header() . map_of(t => 'header'));
put 'failed/t_no_string', segment(1, header() . map_of(t => 1));
put 'failed/integer_key', segment(1, header() . "\x82\xa1t\xa1x\x01\x01");
put 'failed/key_no_utf8', segment(1, header() . "\x82\xa1t\xa1x\xa1\xff\x01");
put 'failed/key_with_nul', segment(1, header() . "\x82\xa1t\xa1x\xa1\0\x01");
put 'failed/key_twice', segment(1, header() . map_of(t => 'x', a => 1, a => 1));
put 'failed/key_twice_inside', segment(1, header() . map_of(t => 'x', a => raw(map_of(b => 1, b => 2))));
put 'failed/nine_levels', segment(1, header() . map_of(t => 'x', a => raw("\x91" x 8 . "\x01")));
put 'failed/forty_levels', segment(1, header() . map_of(t => 'x', a => raw("\x91" x 40 . "\x01")));
put 'failed/byte_c1', segment(1, header() . map_of(t => 'x', a => raw("\xc1")));
put 'failed/extension', segment(1, header() . map_of(t => 'x', a => raw("\xd4\x01\x00")));
put 'failed/timestamp', segment(1, header() . map_of(t => 'x', a => raw("\xd6\xff\0\0\0\0")));
put 'failed/array_of_2_28_announced', header() . "\x82\xa1t\xa1x\xa1a\xdd\x10\0\0\0";
put 'failed/map_of_2_32_announced', header() . "\xdf\xff\xff\xff\xff\xa1t\xa1x";
put 'failed/bin_of_4_gib_announced', header() . "\x82\xa1t\xa1x\xa1a\xc6\xff\xff\xff\xff";
put 'failed/str_of_4_gib_announced', header() . "\x82\xa1t\xa1x\xa1a\xdb\xff\xff\xff\xff";
put 'failed/wrong_count', segment(2, header() . $rec);
put 'failed/no_count', (header() . $rec) . map_of(t => 'end', sha256 => sha256_hex(header() . $rec));
put 'failed/wrong_checksum', segment(1, header() . $rec, sha => sha256_hex('other'));
put 'failed/checksum_in_capitals', segment(1, header() . $rec, sha => uc sha256_hex(header() . $rec));
put 'failed/no_checksum', (header() . $rec) . map_of(t => 'end', n => 1);
put 'failed/changed_byte', do { my $s = $whole; substr($s, length(header()) + length($rec) - 1, 1) = 'b'; $s };
# headers and ends whose other keys are of the wrong type
sub odd { my %h = (kind => 'rollouts', v => [1, 0], @_); return segment(0, $magic . map_of(map { $_ => $h{$_} } sort keys %h)) }
put 'failed/minor_version_text', odd(v => [1, 'x']);
put 'failed/argv_no_array', odd(argv => 5);
put 'failed/argv_of_numbers', odd(argv => [5]);
put 'failed/tool_no_text', odd(tool => 7);
put 'failed/seed_no_number', odd(seed => 'x');
put 'failed/from_no_array', segment(0, header(), from => 5);
put 'failed/from_of_numbers', segment(0, header(), from => [5]);
put 'failed/from_no_digest', segment(0, header(), from => ['zz']);
# tensors, which those refuse who use them, and --check
sub chunk { my ($at, $data, %o) = @_; return map_of(t => 'tensor', data => bin($data), dtype => $o{dtype} // 'F32', name => 'w', offset => $at, shape => $o{shape} // [2]) }
put 'failed/tensor_shorter_than_its_shape', segment(1, header() . chunk(0, "\0" x 4));
put 'failed/tensor_longer_than_its_shape', segment(1, header() . chunk(0, "\0" x 12));
put 'failed/tensor_of_unknown_type', segment(1, header() . chunk(0, "\0" x 8, dtype => 'F99'));
put 'failed/tensor_with_a_gap', segment(2, header() . chunk(0, "\0" x 4, shape => [3]) . chunk(8, "\0" x 4, shape => [3]));
put 'failed/tensor_interrupted', segment(3, header() . chunk(0, "\0" x 4) . $rec . chunk(4, "\0" x 4));
put 'failed/tensor_that_does_not_begin', segment(1, header() . chunk(4, "\0" x 4));
put 'failed/tensor_of_nine_dimensions', segment(1, header() . chunk(0, "\0" x 4, shape => [(1) x 9]));
put 'failed/tensor_in_a_record_too_short', segment(1, header() . map_of(t => 'x', v => raw(map_of(data => bin("\1\0\0"), dtype => 'I32', shape => []))));
