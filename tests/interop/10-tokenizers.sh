#!/bin/sh
# Our tokenizer against the `tokenizers` library, at length. MOE_PYTHON names a Python that has it; MOE_TEXTS may name a folder of real texts.
# Vocabularies are trained here, in the structure of each family's file. For real ones: MOE_TOKENIZERS=FILE_OR_FOLDER[:...] tests/interop/10-tokenizers.sh
# Without such a Python the stored answers (tests/unit/test_tokenizer_golden.c) are all there is.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python tokenizers
exec nice "$PYTHON" "$TOP/tests/interop/tokenizers_compare.py" "$BIN/tests/interop_tokenize" 105000 ${MOE_TEXTS:+"$MOE_TEXTS"}
