# What is swept: every method, seed, environment and setting with every other. Another grid is another file: make GRID=mine.mk.
#
# An environment is a folder with a Makefile as examples/quarantine has it (`moe new` writes one), under a name.
ENVS := quarantine=$(HERE)../quarantine
# A setting is a name and variables of that Makefile, joined by "+"; without any: its defaults.
SETTINGS := default= lr1=LR=0.001 wide=GROUP=16+LR=0.00035
METHODS := vanilla logistic random no-loophole
SEEDS := 11 12 13 14 15
# For all of them.
COMMON :=
