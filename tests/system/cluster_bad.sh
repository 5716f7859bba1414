#!/bin/bash
# Bad input and odd conditions in a cluster: clocks that are wrong, certificates of others, names that are taken, hosts that are removed
# while their guests run, an etcd whose disk is slow.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"

# The wall clock of one process alone cannot be set: it is told another time.
make_clock() {
	command -v gcc >/dev/null || return 1
	gcc -shared -fPIC -O1 -o "$WORK/clock.so" -x c - -ldl <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) { const char *text = getenv("CLOCK_OFFSET"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	r = real(clock, now);
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		now->tv_sec += offset();
	return r;
}
time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
	return 0;
}
END
}
ready() { for host in a b c; do is_node a $host ready || return 1; done; }

hosts 4
for host in a b c d; do start $host & done
wait
HOSTS=" a b c d"
LIMIT=300 check "an image" on a image build --container busybox
check "a is a cluster" on a cluster init

# Who is no part of it

check "d is another cluster" on d cluster init
check_refused "a token of another cluster" "d" on b cluster join "$(on d cluster token 2>/dev/null)x"
for host in b c; do LIMIT=120 check "$host joins" on $host cluster join "$(on a cluster token 2>/dev/null)"; done
wait_for 60 "all to be ready" ready
wait_for 60 "three members of etcd" has_members a 3
tls=$WORK/d/state/tls
check "a certificate of another cluster: the API" eval '! curl -sk --max-time 10 --cert '"$tls"'/node.crt --key '"$tls"'/node.key https://10.7.0.1:8443/v1/instances | grep -q "\["'
check "and etcd" eval '! curl -sk --max-time 10 --cert '"$tls"'/node.crt --key '"$tls"'/node.key https://10.7.0.1:2379/v3/kv/range -d "{\"key\":\"Lw==\"}" | grep -q header'
check "and none at all" eval '! curl -sk --max-time 10 https://10.7.0.1:2379/v3/kv/range -d "{\"key\":\"Lw==\"}" | grep -q header'
check_refused "a host that is in a cluster joins no other" "in a cluster already" on d cluster join "$(on a cluster token 2>/dev/null)"
check "d goes back" on d cluster leave
check_refused "a name that is taken" "--name" on d cluster join "$(on a cluster token 2>/dev/null)" --name b

check "a container at b" on a run --container busybox one --on b -- sleep 31001
check "and at c" on a run --container busybox two --on c -- sleep 31002
ONE=$(value a one status.pid)
TWO=$(value a two status.pid)

# A clock that is wrong

if make_clock; then
	for offset in 600 -600; do
		end 15 "$(pid_of b)"
		LD_PRELOAD=$WORK/clock.so CLOCK_OFFSET=$offset start b
		wait_for 60 "b to be ready, $offset s off" ready
		check "$offset s off: creates go on there" on a run --container busybox odd --on b -- sleep 31003
		check "and from there" on b run --container busybox even --on c --no-wait -- sleep 31004
		wait_for 30 "it to run" runs b even c
		check_says "and events" "odd" on b events
		sleep 8		# A lease and more: nobody may take b for lost.
		check "b is ready" is_node a b ready
		check "guests were not touched" kill -0 "$ONE" "$TWO"
		for name in odd even; do check "remove $name" on a rm --force $name; done
	done
	end 15 "$(pid_of d)"
	LD_PRELOAD=$WORK/clock.so CLOCK_OFFSET=-7200 start d
	check_refused "a host with a wrong clock does not join" "behind that of node 'a'" eval 'on d cluster join "$(on a cluster token 2>/dev/null)"'
	end 15 "$(pid_of b)"
	start b
	wait_for 60 "b to be ready" ready
else
	echo "# no compiler: clocks are not tested"
fi

# etcd's disk is slow: 100 ms for each write

if command -v strace >/dev/null; then
	strace -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=100000 -p "$(etcd_of a)" 2>/dev/null &
	slow=$!
	disown
	sleep 1
	for i in 1 2 3 4 5; do check "a slow disk: volume $i" on b volume create slow$i 1MiB; done
	check "all are ready" ready
	kill $slow
	wait_for 20 "strace to end" eval "! kill -0 $slow 2>/dev/null"
	check "guests were not touched" kill -0 "$ONE" "$TWO"
fi

# A host is removed while its guests run

check_refused "one that is alive and has guests" "is alive" on a node remove c
check "by force" on a node remove c --force
wait_for 60 "it to be gone" eval '! on a node show c'
check "its guests are in no list" eval '! on a show two'
check "others were not touched" kill -0 "$ONE"
wait_for 60 "its daemon to end" eval '! kill -0 "$(pid_of c)" 2>/dev/null'
check_says "its log says why" "removed from its cluster" cat "$WORK/c/log"
check "what ran there runs, for people to look at" kill -0 "$TWO"
tls=$WORK/c/state/tls
check_says "its certificate opens nothing" "was removed from this cluster" curl -s --cacert "$tls/ca.crt" --cert "$tls/server.crt" \
	--key "$tls/server.key" https://10.7.0.1:8443/v1/instances
check "changes go on" on a volume create last 1MiB
