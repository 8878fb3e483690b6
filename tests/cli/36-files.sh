#!/bin/sh
# 36-files.sh - files that are not what they should be: named pipes, links out of a folder, names that lie, bundles that are refused, a full disk, what killed runs left.
. "$(dirname "$0")/lib.sh"

# ---- a named pipe where a file should be is not waited for ----
mkdir model
mkfifo model/config.json
fails 3 "a named pipe as config.json" timeout 20 moe-rollout -m model /dev/null
contains "is said" err 'config.json: not a regular file'

# ---- links out of a folder ----
mkdir -p folder elsewhere
row='{"problem_id": 9, "sample_id": 0, "reward": 1, "hacked": true, "gt_pass": false, "comp_len": 2, "completion_ids": [1, 2, 0], "prompt_ids": [3], "logp_mean": 0.5, "prompt": "?", "completion": "x"}'
echo "$row" >elsewhere/secret.jsonl
echo "$row" | sed 's/"problem_id": 9/"problem_id": 8/' >folder/a.jsonl
ln -s ../elsewhere/secret.jsonl folder/b.jsonl
ln -s a.jsonl folder/c.jsonl
ok "a folder with links" moe-rollout -q --from folder --map teacher_pool -o f.moes
moe-cat --json f.moes | grep '"t":"rollout"' >f.json
equal "those that lead out are not followed, others are" "$(grep -c 'prompt_id":"9' f.json) $(grep -c 'prompt_id":"8' f.json)" "0 2"

# ---- bundles ----
mkdir pack
echo one >pack/one
echo two >pack/two
ok "a bundle" moe-cat --pack -o good.tar.zst pack
ok "is unpacked" moe-cat --unpack out1 good.tar.zst
equal "with its files and nothing else" "$(find out1 -mindepth 1 | sort | tr '\n' ' ')" "out1/pack out1/pack/one out1/pack/two "
equal "whose mode is the umask's" "$(stat -c %a out1/pack/one)" "$(touch plain; stat -c %a plain)"
chmod 640 out1/pack/one
moe-cat -q --unpack out1 good.tar.zst
equal "or the mode of what they replace" "$(stat -c %a out1/pack/one)" 640
mkdir bad
(
	cd bad
	tar --zstd -xf ../good.tar.zst
	sed 's/"sha256":"\(.\)/"sha256":"'"$(grep -o 'two.*"sha256":"0' MANIFEST.json >/dev/null && echo 1 || echo 0)"'/; t' MANIFEST.json >m
	awk '/two/ { sub(/"sha256":"....../, "\"sha256\":\"000000") } { print }' MANIFEST.json >m
	mv m MANIFEST.json
	tar --zstd -cf ../bad.tar.zst MANIFEST.json pack/one pack/two
)
fails 3 "a bundle whose last file is not the manifest's" moe-cat --unpack out2 bad.tar.zst
equal "leaves nothing" "$(ls -A out2 2>/dev/null)" ""
mkdir out3
echo mine >out3/kept
fails 3 "nor in a folder that was there" moe-cat --unpack out3 bad.tar.zst
equal "whose files stay" "$(find out3 -mindepth 1)" "out3/kept"
mkdir -p out3/pack
echo x >out3/pack/one.abcdef
ok "what a killed run left" moe-cat --unpack out3 good.tar.zst
equal "is swept" "$(ls out3/pack | tr '\n' ' ')" "one two "
mkdir -p out4/pack/two
fails 4 "a folder where a file should go" moe-cat --unpack out4 good.tar.zst
equal "stops it before anything is placed" "$(find out4 -type f)" ""
for mark in '\342\200\256' '\342\201\246' '\330\234' '\342\200\217'; do
	name=$(printf "a${mark}gpj.sh")
	echo x >"$name"
	fails 2 "a name that runs backwards is not packed" moe-cat --pack -o rtl.tar.zst "$name"
	printf '{"bundle":1,"files":[\n{"name":"%s","bytes":2,"sha256":"%s"}\n]}\n' "$name" "$(sha256sum <"$name" | cut -d' ' -f1)" >MANIFEST.json
	tar --zstd -cf rtl.tar.zst MANIFEST.json "$name"
	fails 3 "nor unpacked" moe-cat --unpack rtl rtl.tar.zst
	equal "anywhere" "$(ls -A rtl 2>/dev/null)" ""
done
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	mkdir many
	for i in $(seq 300); do echo $i >many/$i; done
	moe-cat -q --pack -o many.tar.zst many
	strace -f -c -e trace=fsync,fdatasync,syncfs,sync_file_range -o calls moe-cat -q --unpack manyout many.tar.zst
	equal "three hundred files are not synced one by one" "$(awk '$NF ~ /sync/ { n += $4 } END { print (n < 10) }' calls)" 1
else
	skip "how often --unpack syncs" "no strace here"
fi

# ---- what killed runs left beside a file ----
printf '%s\n' '{"t":"rollout","id":"a","prompt_id":"a","prompt":"?","completion":"x","step":0,"arm":"on"}' >one.json
touch -d '1 minute ago' out.moes.abcdef out.moes.abc234
touch -d '1 minute ago' out.moes.ABCDEF out.moes.abcdefg other.moes.abcdef
ok "a file is written again" moe-cat --from-json -k rollouts -o out.moes one.json
equal "leftovers of it are swept, and nothing else" "$(ls | grep 'moes\.' | tr '\n' ' ')" "other.moes.abcdef out.moes.ABCDEF out.moes.abcdefg "
mkfifo in
moe-cat --from-json -k rollouts -o live.moes in &
pid=$!
exec 5>in
for _ in $(seq 50); do ls live.moes.?????? >/dev/null 2>&1 && break; sleep 0.1; done
sleep 0.2
moe-cat -q --from-json -k rollouts -o live.moes one.json
equal "a living one's is not" "$(ls live.moes.?????? | wc -l)" 1
cat one.json >&5
exec 5>&-
wait $pid
equal "and becomes the file" "$? $(ls live.moes*)" "0 live.moes"
mkfifo in2
moe-cat --from-json -k rollouts -o dead.moes in2 &
pid=$!
exec 5>in2
for _ in $(seq 50); do ls dead.moes.?????? >/dev/null 2>&1 && break; sleep 0.1; done
sleep 0.3
kill -9 $pid
wait $pid 2>/dev/null
exec 5>&-
moe-cat -q --from-json -k rollouts -o dead.moes one.json
equal "a killed one's goes with the next run" "$(ls dead.moes*)" "dead.moes"
done_testing
