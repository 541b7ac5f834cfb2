#!/usr/bin/env bash
# The 20 sums of the articles are exact, complete and in order under every model and hybrid shape.
. "$(dirname "$0")/lib.sh"

write_config
daemon_start
inputs=$(seq 5000000 5000019)
# The sum of i*i for i in 0..n-1 is (n-1)n/2 * (2n-1)/3: over 64 bits, so in two halves of nine and more digits.
closed_form() {
	local a=$((($1 - 1) * $1 / 2)) m=$((2 * $1 - 1)) base=1000000000 high low
	low=$((a % base * m))
	high=$((a / base * m + low / base))
	low=$((low % base))
	printf '%d%09d\n' $((high / 3)) $(((high % 3 * base + low) / 3))
}
for n in $inputs; do closed_form "$n"; done >"$dir/wanted"
for model in $all_models auto; do
	ctl run squares -q -m "$model" $inputs >"$dir/got"
	equal "run exits 0 under $model" $? 0
	check "the sums are exact under $model" cmp -s "$dir/got" "$dir/wanted"
done
for shape in 2x1x4 1x2x3 2x2x1; do
	ctl run squares -q --shape $shape $inputs >"$dir/got"
	check "the sums are exact under $shape" cmp -s "$dir/got" "$dir/wanted"
done
ctl run squares -q -m pool --no-durable $inputs >"$dir/got"
check "the sums are exact when not kept" cmp -s "$dir/got" "$dir/wanted"
# One huge number, divided among the workers where there are several.
closed_form 400000000 >"$dir/wanted"
for options in "-m sync" "-m async" "-m thread -j 2" "-m pool" "-m process" "--shape 2x1x50" "--shape 2x2x2 --no-durable"; do
	# shellcheck disable=SC2086 # options
	ctl run squares -q $options 400000000 >"$dir/got"
	check "one huge sum is exact under $options" cmp -s "$dir/got" "$dir/wanted"
done
daemon_stop
equal "concd ends with 0 when told to stop" $? 0
finish
