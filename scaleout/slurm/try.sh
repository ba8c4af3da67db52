#!/bin/bash
# Shows sample.sbatch on a real Slurm, with a cluster of two nodes that are processes of this machine and listen on
# 127.0.0.1 only. It draws an array of 8 shards, kills one task with SIGKILL and requeues it, requeues another while it
# runs, merges, and compares the images with those of one process. All it makes is in a temporary directory, and gone
# at the end. It wants Debian's slurm-wlm and munge (apt-get install slurm-wlm munge), root or not, and Go.
#
#   scaleout/slurm/try.sh          BIN=DIR takes train and sample from there instead of building them
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
daemons=()
PATH=$PATH:/usr/sbin
SHARDS_IN_ALL=8 IMAGES=64

finish() {
	code=$?
	scancel --user "$(id -un)" 2>/dev/null || true
	for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	if [ $code != 0 ]; then
		tail -n 20 "$work"/*.log "$work"/sample-*.log 2>/dev/null || true
	fi
	rm -rf "$work"
	exit $code
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

# until_ok WHAT COMMAND… waits for a command to succeed.
until_ok() {
	what=$1
	shift
	for _ in $(seq 600); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.2
	done
	echo "waited too long for $what" >&2
	return 1
}

daemon() {
	"$@" >>"$work/$(basename "$1").log" 2>&1 &
	daemons+=($!)
}

cluster() {
	host=$(hostname -s)
	mkdir "$work/state" "$work/munge"
	chmod 700 "$work/munge"
	dd if=/dev/urandom of="$work/munge/key" bs=1 count=1024 status=none
	chmod 600 "$work/munge/key"
	export SLURM_CONF=$work/slurm.conf
	cat >"$SLURM_CONF" <<-CONF
		ClusterName=try
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=17000
		SlurmctldParameters=enable_configless
		SlurmUser=$(id -un)
		SlurmdUser=$(id -un)
		AuthType=auth/munge
		CredType=cred/munge
		# Requeued tasks wait until the credentials of their first life have expired.
		AuthInfo=socket=$work/munge/socket,cred_expire=5
		CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
		StateSaveLocation=$work/state
		SlurmdSpoolDir=$work/spool-%n
		SlurmctldPidFile=$work/slurmctld.pid
		SlurmdPidFile=$work/slurmd-%n.pid
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		SlurmdParameters=config_overrides
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		ReturnToService=2
		MpiDefault=none
		SchedulerParameters=sched_interval=1
		NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=1000
		NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=1000
		PartitionName=all Nodes=node1,node2 Default=YES State=UP
	CONF
	daemon munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" \
		--pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed"
	until_ok munge test -S "$work/munge/socket"
	daemon slurmctld -D
	daemon slurmd -D -N node1
	daemon slurmd -D -N node2
	until_ok "both nodes" both_idle
	sinfo
}

both_idle() { [ "$(sinfo --noheader --Node --states=idle | wc -l)" = 2 ]; }
running() { [ "$(squeue --noheader --job "$1" --states=R | wc -l)" -gt 0 ]; }
began() { compgen -G "$work/images/.tmp-$(printf 'shard-%03d-of-%03d' $(($1 + 1)) $SHARDS_IN_ALL)-*/images.npy"; }
idle() { [ -z "$(squeue --noheader)" ]; }
state() { scontrol show job "$1" | grep -o 'JobState=[A-Z_]*'; }
in_state() { [ "$(state "$1")" = "JobState=$2" ]; }

say "A model that has learned little"
bin=${BIN:-$work/bin}
if [ -z "${BIN:-}" ]; then
	(cd "$here/../.." && go build -o "$work/bin/" ./cmd/train ./cmd/sample)
fi
cd "$work"
"$bin/train" -preset tiny -steps 20 -lr 0.01 -warmup 0 -ema 0.5 -sample-every 0 -out run | tail -n 1
flags=(-seed 5 -batch 2)

say "One process draws $IMAGES images"
"$bin/sample" -model run -dir alone -n $IMAGES -shard 1/1 "${flags[@]}" | tail -n 1

say "A cluster of two nodes"
cluster

say "An array of $SHARDS_IN_ALL tasks"
export SAMPLE=$bin/sample
job=$(sbatch --parsable --array=0-$((SHARDS_IN_ALL - 1)) --cpus-per-task=1 --mem-per-cpu=100M \
	"$here/sample.sbatch" run images $IMAGES "${flags[@]}")
echo "job $job"

until_ok "task 0 at work" began 0
pid=$(pgrep -f -- "-model run -dir images" | while read -r p; do
	if tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx SLURM_ARRAY_TASK_ID=0; then echo "$p"; fi
done | head -n 1)
kill -KILL "$pid"
until_ok "task 0 to fail" in_state "${job}_0" FAILED
echo "task 0, process $pid, was killed: $(state "${job}_0")"
scontrol requeue "${job}_0"
echo "and requeued: $(state "${job}_0")"

until_ok "task 2 at work" began 2
echo "task 2 is at work: $(state "${job}_2")"
scontrol requeue "${job}_2"
echo "and requeued all the same: $(state "${job}_2")"
squeue

say "A merge before its time"
if "$bin/sample" merge images; then
	echo "merged what is not whole" >&2
	exit 1
fi

until_ok "the array" idle
say "The array has ended"
ls images
cat "sample-${job}_0.log" "sample-${job}_2.log"

say "The same array once more: nothing is left to do"
again=$(sbatch --parsable --array=0-$((SHARDS_IN_ALL - 1)) --cpus-per-task=1 --mem-per-cpu=100M \
	"$here/sample.sbatch" run images $IMAGES "${flags[@]}")
until_ok "the array" idle
cat sample-"${again}"_*.log

say "Merge"
"$bin/sample" merge images | tee merged
"$bin/sample" merge alone | tail -n 1 | tee one
if [ "$(tail -n 1 merged)" = "$(cat one)" ]; then
	say "The $SHARDS_IN_ALL shards, two of them killed and requeued, are the images that one process draws"
else
	echo "the images differ" >&2
	exit 1
fi
