#!/usr/bin/env bash
# Starts a real SLURM on one machine, to try launcher=slurm and for its tests.
set -euo pipefail

usage() {
    cat <<'USAGE'
scripts/slurm_cluster.sh up [DIR]     start a SLURM cluster on this machine
scripts/slurm_cluster.sh down [DIR]   stop it and remove DIR

DIR, by default /tmp/gansweep-slurm-UID, holds all its files: configuration, keys, logs, sockets.
It has 3 nodes (n1 to n3), each with 2 CPUs, 2000 MB and 2 fake GPUs (they compute nothing; jobs
get CUDA_VISIBLE_DEVICES). All ports are on 127.0.0.1. The partitions are
  low    the default; its jobs are preempted and requeued when a job of `high` needs the nodes
  high
Time limits are short, as tests need them: a dead node is noticed after 5 s, a job has 10 s to save.

`up` prints the line by which a shell uses the cluster:
  eval "$(scripts/slurm_cluster.sh up)" && sinfo
It needs two packages of Debian or Ubuntu: apt-get install munge slurm-wlm. It needs no root: the
cluster belongs to the user who starts it and runs that user's jobs.
USAGE
}

nodes=3

say() { printf '%s\n' "$*" >&2; }

give_up() {
    say "error: $*"
    exit 1
}

check_programs() {
    local program
    for program in munged slurmctld slurmd sbatch sinfo scontrol setsid; do
        command -v "$program" >/dev/null ||
            give_up "$program is missing: apt-get install munge slurm-wlm (Debian, Ubuntu)."
    done
}

# Prints the first of $1 consecutive free ports of 127.0.0.1.
free_ports() {
    local base port
    while :; do
        base=$((20000 + RANDOM % 10000))
        for ((port = base; port < base + $1; port++)); do
            # a refused connection means that the port is free
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
        done
        printf '%s\n' "$base"
        return
    done
}

write_configuration() {
    local port user i
    port=$(free_ports $((nodes + 1)))
    user=$(id -un)
    for ((i = 0; i < 2; i++)); do
        ln -sfn /dev/null "$dir/nvidia$i" # slurmd wants a character device
    done
    cat >"$dir/slurm.conf" <<CONF
ClusterName=gansweep
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
# without this the daemons listen on every address
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
# cred_expire: seconds before a requeued job may start again (fewer than 5 count as 120)
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
ReturnToService=2
SlurmdTimeout=5
SlurmctldTimeout=10
KillWait=30
MinJobAge=10
GresTypes=gpu
# use the CPUs named here, whatever the machine has
SlurmdParameters=config_overrides
NodeName=n[1-$nodes] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=2 RealMemory=2000 Gres=gpu:2
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=high Nodes=ALL MaxTime=1-0 PriorityTier=10 PreemptMode=OFF State=UP
CONF
    cat >"$dir/gres.conf" <<CONF
AutoDetect=off
NodeName=n[1-$nodes] Name=gpu File=$dir/nvidia[0-1]
CONF
    # from version 23.02 slurmd needs a cgroup plugin, even if nothing uses it
    if [ "$(slurmd -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 23 ]; then
        printf 'CgroupPlugin=disabled\n' >"$dir/cgroup.conf"
    fi
}

start_munge() {
    [ -s "$dir/munge.key" ] || (
        umask 077
        head -c 1024 /dev/urandom >"$dir/munge.key"
    )
    # --force: munged refuses a directory below one that others may write to, such as /tmp
    munged --force --key-file "$dir/munge.key" --socket "$dir/munge.socket" \
        --pid-file "$dir/munged.pid" --log-file "$dir/munged.log" --seed-file "$dir/munge.seed" \
        2>"$dir/munged.err" || give_up "munged does not start: $(tail -n 1 "$dir/munged.err")"
}

# Whether the process of a pid file is alive and not a zombie.
lives() { [ -s "$1" ] && grep -qs '^State:.[^ZX]' "/proc/$(cat "$1")/status"; }

start_slurm() {
    local i
    lives "$dir/slurmctld.pid" || slurmctld >/dev/null
    for ((i = 1; i <= nodes; i++)); do
        lives "$dir/slurmd-n$i.pid" || slurmd -N "n$i" >/dev/null
    done
    for ((i = 0; i < 200; i++)); do
        if [ "$(sinfo -h -N -p low -t idle,mixed,allocated -o %n 2>/dev/null | wc -l)" -eq "$nodes" ]; then
            return
        fi
        sleep 0.1
    done
    give_up "the nodes did not come up within 20 s: see $dir/slurmctld.log and $dir/slurmd-n1.log."
}

up() {
    check_programs
    # a unix socket's path may have 107 characters
    [ ${#dir} -le 80 ] || give_up "$dir is too long for the path of a socket: choose another DIR."
    mkdir -p "$dir/state" || give_up "$dir cannot be made: choose another DIR."
    chmod 700 "$dir"
    if [ ! -s "$dir/slurm.conf" ]; then write_configuration; fi
    export SLURM_CONF=$dir/slurm.conf
    lives "$dir/munged.pid" || start_munge
    start_slurm
    printf 'export SLURM_CONF=%q\n' "$SLURM_CONF"
}

down() {
    local i file
    if [ ! -e "$dir/slurm.conf" ]; then
        say "No cluster in $dir."
        return
    fi
    export SLURM_CONF=$dir/slurm.conf
    if lives "$dir/slurmctld.pid"; then
        scancel --full --signal=KILL --user="$(id -u)" 2>/dev/null || true
        scancel --user="$(id -u)" 2>/dev/null || true
        for ((i = 0; i < 100; i++)); do
            [ -n "$(squeue -h 2>/dev/null)" ] || break
            sleep 0.1
        done
    fi
    for file in "$dir"/*.pid; do
        # nothing to save: their files are removed below
        if lives "$file"; then kill -9 "$(cat "$file")"; fi
    done
    rm -rf "$dir"
}

case ${1-} in
-h | --help) usage ;;
up | down)
    [ $# -le 2 ] || give_up "one DIR at most; see $0 --help."
    dir=$(realpath -m "${2:-/tmp/gansweep-slurm-$(id -u)}")
    "$1"
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
