#!/usr/bin/env bash
# The 20 sums of the articles are exact, complete and in order under every model and hybrid shape.
. "$(dirname "$0")/lib.sh"

write_config
daemon_start
inputs=$(seq 5000000 5000019)
# sum of i*i for i in 0..n-1 is (n-1)n(2n-1)/6
for n in $inputs; do echo "($n-1)*$n*(2*$n-1)/6"; done | bc >"$dir/wanted"
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
daemon_stop
equal "concd ends with 0 when told to stop" $? 0
finish
