#!/bin/bash
# Tens of faults by chance, with real processes, while instances are moved, stopped and started: nothing ever runs twice, and at the end
# everything is there and runs. SEED and ROUNDS in the environment give another history.
command -v etcd >/dev/null || { echo "# skipped: etcd is not installed: install the package etcd-server"; exit 77; }
ldconfig -p | grep -q 'libcurl\.so\.4 ' || { echo "# skipped: libcurl is not installed: install the package libcurl4"; exit 77; }
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster_lib.sh"
: "${SEED:=5}" "${ROUNDS:=20}"
LIMIT=20

RANDOM=$SEED
any() { shift $((RANDOM % $#)); echo "$1"; }

# From a host that is not disturbed, so that it can say how it goes.
free_of() { for each in $HOSTS; do [ "$each" = "$1" ] || { echo "$each"; return; }; done; }
is_up() { [ -e "$WORK/$1/state/lock" ] && kill -0 "$(pid_of "$1")" 2>/dev/null; }

hosts 4
mkdir "$WORK/shared"
make_cluster
wait_for 60 "three members of etcd" has_members a 3
check "a pool that all reach" on a pool create shared --shared --source "$WORK/shared"
SAFE="safe1 safe2 safe3" PLAIN="plain1 plain2" number=31100
for name in $SAFE; do
	number=$((number + 1))
	check "$name" on a run --container busybox $name --stop-timeout 1s --ha restart --pool shared -- sleep $number
done
for name in $PLAIN; do
	number=$((number + 1))
	check "$name" on a run --container busybox $name --stop-timeout 1s -- sleep $number
done
check "a VM" on a run tiny vm --ha restart --pool shared -m 128MiB
LIMIT=90 check "the VM has its agent" on a wait vm --for agent --timeout 80s
ALL="$SAFE $PLAIN vm"
for name in $ALL; do check "$name keeps something" on a exec $name -- sh -c "echo $name >/kept; sync"; done
watch_for_doubles

# What people do meanwhile; whether it can be done does not matter.
disturb() {
	name=$(any $ALL) to=$(any $HOSTS)
	case $(any move move back stop again) in
	move) on "$1" move $name "$to" --no-wait ;;
	back) on "$1" move $name "$to" && on "$1" move $name ;;
	stop) on "$1" stop $name --force; sleep 0.$((RANDOM % 10)); on "$1" start $name ;;
	again) on "$1" restart $name ;;
	esac >/dev/null 2>&1
}

for round in $(seq "$ROUNDS"); do
	host=$(any $HOSTS) fault=$(any cut cut freeze crash power) seconds=$(any 0.3 1 2 4 6 9 11)
	echo "# $round: $fault $host for $seconds s"
	asked=$(free_of "$host")
	disturb "$asked" &
	disturbing=$!
	sleep 0.$((RANDOM % 10))
	case $fault in
	cut) cut_link "$host"; sleep "$seconds"; mend_link "$host" ;;
	freeze) pid=$(pid_of "$host"); kill -STOP "$pid"; sleep "$seconds"; kill -CONT "$pid" ;;
	crash) end 9 "$(pid_of "$host")"; sleep "$seconds"; start "$host" ;;
	power) kill_host "$host"; sleep "$seconds"; start "$host" ;;
	esac
	wait "$disturbing"
	wait_for 60 "$host to be ready" is_node "$asked" "$host" ready
	check "nothing ran twice" nothing_twice || break
done

# What somebody wanted to be stopped when the answer was lost stays so.
for name in $ALL; do on a start $name >/dev/null 2>&1; done
for name in $ALL; do
	wait_for 60 "$name to run" runs a $name
	wait_for 20 "$name to be where it should" eval '[ "$(value a $name spec.node)" = "$(value a $name status.node)" ]'
done
LIMIT=90 check "the VM has its agent" on a wait vm --for agent --timeout 80s
for name in $ALL; do check_says "$name has kept it" "$name" on a exec $name -- cat /kept; done
for number in 31101 31102 31103 31104 31105; do check "it runs once" test "$(pgrep -fcx "sleep $number")" = 1; done
check "the VM runs once" test "$(pgrep -fc "qemu-system.*guest=vm")" = 1
check "nothing ran twice" nothing_twice
for name in $ALL; do check "remove $name" on a rm --force $name; done
wait_for 30 "nothing to be left" eval '[ "$(pgrep -fc "^sleep 311")" = 0 ]'
for host in $HOSTS; do check "nothing is left on $host" eval '[ -z "$(ls "$WORK/$host/state/instances")" ]'; done
