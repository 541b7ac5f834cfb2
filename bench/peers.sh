# shellcheck shell=sh
# Peers for `make bench`: programs of Debian that do the same work, measured in the same rounds where they are installed.
# Sourced by run.sh, whose variables and functions it uses. Settings are the fair ones: as many workers, tasks or requests
# at once as concd has, connections kept where it keeps them, no output but the one that is checked, loopback only. aria2
# has no row for 10,000 requests: it takes minutes.

# name, yardstick, goal (none), unit, program:package
peer_cases() {
	cat <<-'END'
		peer-go-noop           pool-noop        -     ns/task  go:golang-go
		peer-python-threads    pool-noop        -     ns/task  python3:python3
		peer-python-processes  pool-noop        -     ns/task  python3:python3
		peer-gearman-noop      pool-noop        -     ns/task  gearmand:gearman-job-server
		peer-beanstalkd-noop   pool-noop        -     ns/task  beanstalkd:beanstalkd
		peer-parallel          pool-noop        -     ns/task  parallel:parallel
		peer-python-trip       pool-trip        -     us       python3:python3
		peer-gearman-trip      pool-trip        -     us       gearmand:gearman-job-server
		peer-beanstalkd-trip   pool-trip        -     us       beanstalkd:beanstalkd
		peer-curl-160          epoll-160        -     ms       curl:curl
		peer-wget2-160         epoll-160        -     ms       wget2:wget2
		peer-aria2-160         epoll-160        -     ms       aria2c:aria2
		peer-go-160            epoll-160        -     ms       go:golang-go
		peer-python-160        epoll-160        -     ms       python3:python3
		peer-curl-10k-keep     epoll-10k-keep   -     ms       curl:curl
		peer-wget2-10k-keep    epoll-10k-keep   -     ms       wget2:wget2
		peer-go-10k-keep       epoll-10k-keep   -     ms       go:golang-go
		peer-go-10k-at-once    epoll-10k        -     ms       go:golang-go
	END
}

peer_installed() { # PROGRAM:PACKAGE
	command -v "${1%%:*}" >/dev/null 2>&1
}

# Each URL differs by a number that the server ignores: some programs fetch the same one only once.
peer_urls() { # PATH N
	awk -v url="http://127.0.0.1:$port$1" -v n="$2" 'BEGIN { for (i = 1; i <= n; i++) print url "n=" i }'
}

# A job server on a port of its own: pid in $server_pid, port in $server_port.
peer_server() { # gearmand|beanstalkd gearman|beanstalkd
	server_port=$((20000 + ($$ + round * 101) % 20000))
	case $1 in
	gearmand) gearmand --listen 127.0.0.1 --port "$server_port" --log-file stderr --verbose ERROR ;;
	beanstalkd) beanstalkd -l 127.0.0.1 -p "$server_port" ;;
	esac </dev/null >>"$dir/log" 2>&1 &
	server_pid=$!
	tries=0
	until "$bench/queue" "$2" "$server_port" 1 >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -le 40 ] || { say "$1 does not answer on port $server_port"; return 1; }
		sleep 0.05
	done
}

peer_queue() { # gearman|beanstalkd FIELD N [IN_FLIGHT]
	field=$2 program=$1
	[ "$1" != gearman ] || program=gearmand
	peer_server "$program" "$1" &&
		"$bench/queue" "$1" "$server_port" "$3" ${4:+"$4"} >"$dir/queue" && cut -d' ' -f"$field" "$dir/queue"
	status=$?
	stop "$server_pid"
	return $status
}

peer_go() { # MODE ARGUMENTS...
	[ -x "$dir/go-pool" ] ||
		GOCACHE=$dir/go GO111MODULE=off go build -o "$dir/go-pool" "$top_srcdir/bench/peers/pool.go" >>"$dir/log" 2>&1 || return 1
	"$dir/go-pool" "$@"
}

peer_measure() { # PROGRAM ARGUMENTS...: wall ms
	"$bench/measure" -t 30 "$@" >"$dir/time" 2>>"$dir/log" && cut -d' ' -f1 "$dir/time"
}

peer_get() { # PROGRAM URLS N AT_ONCE
	case $1 in
	curl)
		awk '{ print "url = \"" $1 "\"\noutput = /dev/null" }' "$dir/$2" >"$dir/curl"
		peer_measure curl -s --parallel --parallel-immediate --parallel-max "$4" -K "$dir/curl"
		;;
	wget2) peer_measure wget2 -q --max-threads="$4" -O /dev/null -i "$dir/$2" ;;
	aria2)
		awk '{ print $1 "\n out=" NR }' "$dir/$2" >"$dir/aria2"
		mkdir -p "$dir/out" &&
			peer_measure aria2c -q --no-conf -j "$4" -d "$dir/out" --file-allocation=none -i "$dir/aria2"
		status=$?
		n=$(find "$dir/out" -type f -size 1024c | wc -l)
		rm -rf "$dir/out"
		[ $status -eq 0 ] && [ "$n" -eq "$3" ]
		;;
	go) peer_go get "$dir/$2" "$4" ;;
	python) python3 "$top_srcdir/bench/peers/pool.py" get "$dir/$2" "$4" ;;
	esac
}

peer_case() { # NAME: prints one number
	program=${1#peer-}
	program=${program%%-*}
	[ -s "$dir/peer-160" ] || peer_urls '/bytes/1024?ms=50&' 160 >"$dir/peer-160"
	[ -s "$dir/peer-keep" ] || peer_urls '/bytes/1024?' 10000 >"$dir/peer-keep"
	[ -s "$dir/peer-10k" ] || peer_urls '/bytes/1024?ms=1000&' 10000 >"$dir/peer-10k"
	case $1 in
	peer-go-noop) peer_go noop 1000000 2 ;;
	peer-python-threads) python3 "$top_srcdir/bench/peers/pool.py" threads 20000 ;;
	peer-python-processes) python3 "$top_srcdir/bench/peers/pool.py" processes 200000 ;;
	peer-python-trip) python3 "$top_srcdir/bench/peers/pool.py" trip 1000 ;;
	peer-*-noop) peer_queue "$program" 1 5000 ;;
	peer-*-trip) peer_queue "$program" 2 500 1 ;;
	peer-parallel)
		seq 100 >"$dir/100"
		peer_measure parallel -j2 -a "$dir/100" true | per_task 100
		;;
	peer-*-160) peer_get "$program" peer-160 160 160 ;;
	peer-*-10k-keep) peer_get "$program" peer-keep 10000 64 ;;
	peer-*-10k-at-once) rest_ports && peer_get "$program" peer-10k 10000 10000 ;;
	esac
}
