#!/bin/sh
# Our tokenizer against the `tokenizers` library, at length. MOE_PYTHON names a Python that has it; MOE_TEXTS may name a folder of real texts.
# Vocabularies are trained here, in the structure of each family's file. For real ones: MOE_TOKENIZERS=FILE_OR_FOLDER[:...] tests/interop/10-tokenizers.sh
# Without such a Python the stored answers (tests/unit/test_tokenizer_golden.c) are all there is.
TOP=$(cd "$(dirname "$0")/../.." && pwd)
program=$(cd "${MOE_BIN:-$TOP/build}" && pwd)/tests/interop_tokenize
python=${MOE_PYTHON:-python3}
if ! "$python" -c 'import tokenizers' 2>/dev/null; then
	echo "1..1"
	echo "ok 1 - tokenizers # SKIP no Python with the tokenizers library (set MOE_PYTHON)"
	exit 0
fi
exec nice "$python" "$TOP/tests/interop/tokenizers_compare.py" "$program" 105000 ${MOE_TEXTS:+"$MOE_TEXTS"}
