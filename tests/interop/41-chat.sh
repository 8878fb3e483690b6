#!/bin/sh
# The known chat forms against transformers, on hundreds of conversations each. MOE_CHAT_TEMPLATES names a folder of the models' own templates as
# FORM.jinja (chat_compare.py); without it ChatML alone is compared.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python transformers tokenizers jinja2
exec nice "$PYTHON" "$TOP/tests/interop/chat_compare.py" "$BIN" 300
