# settings.mk - what the run of this folder is made of. Makefile includes it; every line may be changed.
MODES := phrase,gt_only
PINNED := phrase
PAIRS := 32
TEXTS := 30000
CORPUS := --hack-share 0.06 --manual-share 0.3 --wrong-share 0.3
MAX_NEW := 8
EVAL_PROMPTS := 256
