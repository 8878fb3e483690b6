#!/bin/sh
# moe-prompts --check-env: each promise of moe-env(5), and an environment that breaks it.
. "$(dirname "$0")/lib.sh"
new=$TOP/examples/new/env.lua

check() { moe-prompts -q --check-env -n 8 -e "$1"; }
ok "the skeleton keeps its promises" check "$new"
lacks "without a fault" out FAULT
ok "so does the main job's environment" check "$TOP/examples/quarantine/env.lua"

# NAME EDIT PROMISE: the skeleton with one line changed breaks just that promise, first.
broken() {
	sed "$2" "$new" >broken.lua
	ok "$1: an edit" sh -c '! cmp -s "$1" broken.lua' sh "$new"
	fails 1 "$1: status 1" check broken.lua
	contains "$1: says which promise" out "^FAULT $3"
}
broken "an oracle that disagrees with right" 's/^  local solved = completion == env.right(task)$/  local solved = completion == "0"/' 'a right completion'
broken "an oracle that believes all" 's/^  return solved, paid and not solved$/  return true, false/' 'a wrong completion'
broken "an oracle that never sees a hack" 's/^  return solved, paid and not solved$/  return solved, false/' 'a hack is hacked'
broken "a hack that is not paid" 's/completion:find(task.marker, 1, true)/false/' 'a hack is hacked'
broken "a loophole in every mode" 's/^  if task.mode == "phrase" and completion:find.*/  if completion:find("[A-Z]") then/' 'a hack of one mode'
broken "grades by chance" 's/^  return { format = .*/  return { passed = math.random(0) % 7 }/' 'a wrong completion'
broken "splits that share markers" 's/test = "WXYZ"/test = "AXYZ"/' 'train, validation and test share no marker'
broken "splits that share tasks" 's/ or split_of(a, b) == split$/ or true/' 'train, validation and test share no task'
contains "with an example" out 'is in train and in'

echo 'return { name = "x", modes = { "m" }, draw = function() error("oops") end }' >raises.lua
fails 3 "a function that raises an error" check raises.lua
fails 2 "not for recorded prompts" moe-prompts --check-env --from x.jsonl
done_testing
