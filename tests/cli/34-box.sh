#!/bin/sh
# 34-box.sh - attacks on the box of moe-grade --exec: what a grader or what it grades may reach, in each kind of box, as root and as a user without rights.
. "$(dirname "$0")/lib.sh"

cat >attack.pl <<'EOF2'
# Answers each rollout with one part of the reward for each attack: 1 when it succeeded.
use strict; use warnings; use Socket; use POSIX; use Fcntl;
$| = 1;
my $dir = $ENV{START};
sub others { grep { $_ != $$ && $_ != getppid() } map { m{/proc/(\d+)$} ? $1 : () } glob('/proc/[0-9]*') }
sub reach { my ($what, $test) = @_; for my $p (others()) { open(my $f, '<', "/proc/$p/$what") or next; return 1 if $test->($f, $p) } 0 }
my %attack = (
	mem => sub { reach('mem', sub { 1 }) },
	maps => sub { reach('maps', sub { my ($f) = @_; defined readline $f ? 1 : 0 }) },
	environ => sub { for my $p (others(), getppid(), 1) { open(my $f, '<', "/proc/$p/environ") or next; local $/; my $t = <$f> // ''; return 1 if $t =~ /canary-of-the-caller/ } 0 },
	descriptors => sub { for my $p (others()) { for my $n (0 .. 20) { return 1 if defined readlink("/proc/$p/fd/$n") } } 0 },
	fifo => sub { sysopen(my $f, "$dir/weights", O_WRONLY | O_NONBLOCK) or return 0; syswrite($f, "canary-in\n") ? 1 : 0 },
	fifo_read => sub { sysopen(my $f, "$dir/told", O_RDONLY | O_NONBLOCK) or return 0; select(undef, undef, undef, 0.3); sysread($f, my $t, 100) ? 1 : 0 },
	socket => sub { socket(my $s, PF_UNIX, SOCK_STREAM, 0) or return 0; connect($s, sockaddr_un("$dir/sock")) ? 1 : 0 },
	abstract => sub { socket(my $s, PF_UNIX, SOCK_STREAM, 0) or return 0; connect($s, pack('Sa*', AF_UNIX, "\0moe-box-test$ENV{OUTSIDE}")) ? 1 : 0 },
	internet => sub { socket(my $s, PF_INET, SOCK_STREAM, 0) or return 0; connect($s, sockaddr_in($ENV{PORT}, inet_aton('127.0.0.1'))) ? 1 : 0 },
	secret => sub { for my $f ("$dir/secret", '/etc/shadow') { return 1 if open(my $x, '<', $f) } 0 },
	written => sub { my $n = 0; for my $f ("$dir/escaped", '/tmp/moe-box-escaped', '/var/tmp/moe-box-escaped') { $n++ if open(my $x, '>', $f) } $n },
	shared_memory => sub { my $i = shmget(0x6d6f6521, 4096, 0); defined $i ? 1 : 0 },
	signals => sub { (grep { $_ != 1 && kill(0, $_) } ($ENV{OUTSIDE})) ? 1 : 0 },
	temporary => sub { -e "/tmp/$ENV{CANARY}" ? 1 : 0 },
	ptrace => sub { syscall(101, 16, $ENV{OUTSIDE}, 0, 0) == 0 ? 1 : 0 },
	forks => sub {
		my @p;
		for (1 .. 700) { my $p = fork(); last if !defined $p; if (!$p) { sleep 30; POSIX::_exit(0) } push @p, $p }
		kill('KILL', @p); waitpid($_, 0) for @p;
		@p > 640 ? 1 : 0;
	},
	files => sub {
		my $n = 0;
		for my $i (1 .. 24) { open(my $f, '>', "$ENV{TMPDIR}/f$i") or last; last if !(print $f 'x' x (1 << 20)) || !close $f; $n++ }
		unlink glob("$ENV{TMPDIR}/f*");
		$n > 17 ? 1 : 0;
	},
);
$SIG{PIPE} = 'IGNORE';
while (my $line = <STDIN>) {
	my ($id) = $line =~ /"id":"([^"]*)"/;
	my ($which) = $line =~ /"completion":"([^"]*)"/;
	if ($which eq 'sleeper') { # in a session of its own, its parent gone
		if (!fork()) { setsid(); if (!fork()) { close STDOUT; close STDERR; close STDIN; exec 'sleep', "4321.$ENV{OUTSIDE}" } POSIX::_exit(0) }
		wait;
	}
	if ($which eq 'deep') { chdir $ENV{TMPDIR}; for (1 .. 3000) { mkdir 'd' x 20; chdir 'd' x 20 or last } chdir '/' }
	if ($which eq 'closed') { mkdir "$ENV{TMPDIR}/c"; mkdir "$ENV{TMPDIR}/c/d"; chmod 0, "$ENV{TMPDIR}/c" }
	if ($which eq 'grow') { for my $i (1 .. 400) { open(my $f, '>', "$ENV{TMPDIR}/g$i") or last; print $f 'x' x (1 << 18); close $f; select(undef, undef, undef, 0.02) } sleep 1 }
	my @name = $which eq 'all' ? sort keys %attack : $attack{$which} ? ($which) : ();
	print "{\"id\":\"$id\",\"rewards\":{", join(',', '"done":0', map { "\"$_\":" . $attack{$_}->() } @name), "}}\n";
}
EOF2

# a listener on a path, an abstract name and a port, which says "ready PORT" and counts in the file "heard"
cat >listen.pl <<'EOF2'
use strict; use Socket; use IPC::SysV qw(IPC_CREAT);
$SIG{HUP} = 'IGNORE';
socket(my $a, PF_UNIX, SOCK_STREAM, 0); bind($a, sockaddr_un('sock')) or die; listen($a, 5); chmod 0777, 'sock';
socket(my $b, PF_UNIX, SOCK_STREAM, 0); bind($b, pack('Sa*', AF_UNIX, "\0moe-box-test$ENV{OUTSIDE}")) or die; listen($b, 5);
socket(my $c, PF_INET, SOCK_STREAM, 0); bind($c, sockaddr_in(0, INADDR_LOOPBACK)) or die; listen($c, 5);
shmget(0x6d6f6521, 4096, IPC_CREAT | 0666);
my ($port) = sockaddr_in(getsockname $c);
open(my $f, '>', 'ready.new'); print $f "$port\n"; close $f; rename 'ready.new', 'ready';
sleep 600;
EOF2

if ! perl -MIO::Socket::UNIX -MPOSIX -e 1 2>/dev/null; then
	skip "attacks on the box" "no Perl here"
	done_testing
fi
landlock() { perl -e 'exit(syscall(444, 0, 0, 1) >= '"$1"' ? 0 : 1)'; }
roll() { # COMPLETION...
	_i=0
	for _c in "$@"; do
		_i=$((_i + 1))
		printf '{"t":"rollout","id":"r%d#0.0","prompt_id":"r%d","prompt":"?","completion":"%s","step":0,"arm":"on"}\n' $_i $_i "$_c"
	done | moe-cat --from-json --kind rollouts
}

# one round of attacks: WHO (root or user) PREFIX... (what runs the program as that user)
round() {
	who=$1
	shift
	for box in namespaces bwrap limits; do
		if ! "$@" moe-grade -q --exec true --exec-box $box -o "$D/e.moes" </dev/null 2>err && grep -q 'does not work' err; then
			skip "attacks in a box of $box as $who" "not on this machine"
			continue
		fi
		"$@" moe-grade -q --exec 'perl attack.pl' --exec-env START --exec-env PORT --exec-env CANARY --exec-env OUTSIDE \
			--exec-box $box --exec-files 16M --exec-wall 60 "$D/all.moes" -o "$D/g.moes" 2>err || cat err
		moe-cat --json "$D/g.moes" >g.json
		contains "the attacks ran ($box, $who)" g.json '"ptrace":'
		got=$(sed -n 's/.*"rewards":{\([^}]*\)}.*/\1/p' g.json | tr ',' '\n' | grep -v ':0\.0$' | tr -d '"' | sed 's/:.*//' | sort | tr '\n' ' ')
		may=
		# a box without namespaces has the user's own files, and reads them; its folder is bounded by looking at it
		[ $box = limits ] && may='fifo_read temporary files'
		[ $who = user ] && may="$may secret"
		[ $box = limits ] && [ $who = root ] && may=
		landlock 1 || may="$may fifo mem maps descriptors written"
		landlock 6 || may="$may signals"
		for a in $got; do
			case " $may " in *" $a "*) got=$(echo "$got" | sed "s/$a //") ;; esac
		done
		equal "nothing is reached ($box, $who)" "$got" ""
		roll sleeper deep closed good | cat >"$D/left.moes"
		"$@" moe-grade -q --exec 'perl attack.pl' --exec-env OUTSIDE --exec-box $box "$D/left.moes" -o "$D/l.moes" 2>err
		sleep 0.2
		equal "no process is left ($box, $who)" "$(ps ax | grep -c '[s]leep 4321.$OUTSIDE')" 0
		equal "no folder is left, however deep ($box, $who)" "$(ls "$TMPDIR")" ""
		roll grow good >"$D/grow.moes"
		"$@" moe-grade --exec 'perl attack.pl' --exec-box $box --exec-files 8M "$D/grow.moes" -o "$D/l.moes" 2>err
		[ $box = limits ] && [ $who = user ] && contains "a folder that grows too large ends its grader" err '1 ended their process'
		equal "the folder of a grader that fills it is gone ($box, $who)" "$(ls "$TMPDIR")" ""
	done
}

prepare() { # FOLDER: where the attacks take place
	D=$1
	cp attack.pl listen.pl "$D/"
	cd "$D" || exit 1
	mkdir tmp
	TMPDIR=$D/tmp START=$D CALLER=canary-of-the-caller CANARY=moe-box-canary.$$ OUTSIDE=$$
	export TMPDIR START CALLER CANARY OUTSIDE
	echo x >"/tmp/$CANARY"
	echo secret >secret
	chmod 600 secret
	mkfifo weights told
	roll all >all.moes
}
outside() { # what listens and speaks outside
	"$@" perl listen.pl &
	listener=$!
	"$@" sh -c 'exec cat <>weights >heard' &
	reader=$!
	"$@" sh -c 'exec 3<>told; while :; do echo told >&3; sleep 1; done' &
	writer=$!
	for _ in $(seq 50); do [ -e ready ] && break; sleep 0.1; done
	ok "something listens outside" test -e ready
	PORT=$(cat ready)
	export PORT
}
finish() {
	kill $listener $reader $writer 2>/dev/null
	ipcrm -M 0x6d6f6521 2>/dev/null
	rm -f "/tmp/$CANARY"
	lacks "nothing was heard outside" heard 'canary-in'
}

listener= reader= writer=
trap 'kill $listener $reader $writer 2>/dev/null; rm -rf "$T"' EXIT
if [ "$(id -u)" = 0 ]; then
	mkdir "$T/root"
	chmod 700 "$T/root"
	prepare "$T/root"
	outside env
	round root env
	finish
	cd "$T" || exit 1
	if setpriv --reuid 4242 --regid 4242 --clear-groups true 2>/dev/null; then
		chmod 755 "$T"
		mkdir "$T/user"
		prepare "$T/user"
		chown -R 4242:4242 "$T/user"
		outside setpriv --reuid 4242 --regid 4242 --clear-groups
		round user setpriv --reuid 4242 --regid 4242 --clear-groups
		finish
	else
		skip "as a user without rights" "setpriv does not work here"
	fi
else
	mkdir "$T/user"
	prepare "$T/user"
	outside env
	round user env
	finish
fi
done_testing
