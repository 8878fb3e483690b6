#!/bin/sh
# make lint can fail: a small tree with a fault of each sort, and each part of tests/lint finds its own.
. "$(dirname "$0")/lib.sh"

mkdir -p tree/lib/util tree/lib/tensor tree/lib/nn tree/lib/model tree/lib/moe tree/lib/rl tree/formats tree/cmd tree/man tree/examples tree/tests tree/.ci tree/build/man
cp "$TOP/tests/lint" "$TOP/tests/lint.h" tree/tests/
cp "$TOP/lib/util/err.h" tree/lib/util/
cd tree || exit 1
parts() { bash tests/lint build "$@" >"$T/out" 2>&1; }
finds() { # PART REGEX...
	part=$1
	shift
	parts "$part"
	equal "$part fails" $? 1
	for want; do
		contains "$part: $want" "$T/out" "$want"
	done
}
printf '# none\n' >Makefile

printf '/* good.c - nothing wrong here. */\nint good(void);\n\nint good(void)\n{\n\treturn 1;\n}\n' >lib/util/good.c
parts layers banned sizes headers
equal "a good tree has no findings" "$? $(cat "$T/out")" "0 lint: 0 findings"

touch stray
printf '/* up.c - includes what is above it. */\n#include "cmd/opt.h"\n#include <msgpack.h>\n#include <blis.h>\n' >lib/util/up.c
printf '/* talk.c - prints and ends the program. */\nvoid f(void)\n{\n\tprintf("x");\n\texit(1);\n}\n' >lib/nn/talk.c
finds layers 'stray does not belong here' 'lib/util/up.c includes cmd/' 'lib/util/up.c.*msgpack' 'lib/util/up.c: includes BLIS' 'talk.c:4' 'talk.c:5'
rm lib/util/up.c lib/nn/talk.c stray

printf '/* old.c - calls what is banned. */\nvoid f(char *s)\n{\n\tstrcpy(s, "x");\n\tint n = atoi(s);\n}\n/* %s: later */\n' "TO""DO" >formats/old.c
printf 'CFLAGS = -O3 %s\n' "-march=""native" >Makefile
printf '/* libm.c - rounds as the C library does. */\ndouble f(double x)\n{\n\treturn moe_exp(x) + exp(x);\n}\n' >lib/nn/libm.c
finds banned 'old.c:4' 'old.c:5' 'old.c:7' 'Makefile:1' 'lib/nn/libm.c:4'
rm formats/old.c lib/nn/libm.c
printf '# none\n' >Makefile

{
	printf 'no comment\nint f(void)\n{\n'
	yes '	;' | head -61
	printf '}\n'
} >lib/util/long.c
yes '' | head -201 | sed '1s,.*,/* moe-x.c - a main of 201 lines. */,' >cmd/moe-x.c
finds sizes 'long.c:3: 61 lines' 'long.c: its first line' 'cmd/moe-x.c: 201 lines'
rm lib/util/long.c cmd/moe-x.c

printf '/* needs.h - uses a type that it does not declare. */\nint f(size_t n);\n' >lib/util/needs.h
finds headers 'lib/util/needs.h can not be included'
rm lib/util/needs.h

printf '.Dd November 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n.Bogus z\n' >build/man/x.1
finds man 'Bogus'

# a program whose page is missing, and one whose page speaks of an option that it lacks
printf '#!/bin/sh\ncase $1 in *tsv) printf "o\\toutput\\tstring\\tFILE\\t\\ttext\\n" ;; *) echo help ;; esac\n' >build/moe-a
cp build/moe-a build/moe-b
chmod +x build/moe-a build/moe-b
printf '.Sh NAME\n.Sh SYNOPSIS\n.Nm\n.Fl -gone\n.Fl o Ar FILE\n.Sh DESCRIPTION\n.Sh OPTIONS\n' >man/moe-a.1
cp man/moe-a.1 build/man/
finds help 'moe-b has no page' 'moe-a.1 speaks of an option that the program lacks: --gone' 'moe-a.1 has no section EXAMPLES'
lacks "an option that is there is none" "$T/out" 'lacks: -o'

if command -v shellcheck >/dev/null; then
	printf '#!/bin/sh\nif [ $1 = ]; then cd $2; fi\nfor x in $(ls); do echo $y; done\n' >tests/bad.sh
	finds shell 'tests/bad.sh:[0-9]+'
else
	skip "shell" "shellcheck is not installed (make lint installs it)"
fi
printf '/* null.c - reads through a null pointer. */\nint f(int);\n\nint f(int n)\n{\n\tint *p = 0, a[2] = {1, 2};\n\n\tif (n)\n\t\treturn a[5];\n\treturn *p;\n}\n' >lib/util/null.c
if command -v cppcheck >/dev/null; then
	finds cppcheck 'lib/util/null.c:[0-9]+: '
else
	skip "cppcheck" "it is not installed (make lint installs it)"
fi
if command -v clang-tidy >/dev/null; then
	finds tidy 'lib/util/null.c:[0-9]+:[0-9]+: warning'
else
	skip "tidy" "clang-tidy is not installed (make lint installs it)"
fi
done_testing
