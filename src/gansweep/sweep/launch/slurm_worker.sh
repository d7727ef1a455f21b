#!/bin/bash
# One worker of a sweep as a job of SLURM: task of an array, submitted by launch/slurm.py as
#   sbatch ... slurm_worker.sh PYTHON DIRECTORY [SETUP LINE]...
# Before the time limit SLURM sends this shell alone USR1: the worker saves, and the job goes back
# into the queue. At preemption, scancel and `scontrol requeue` it sends TERM to all processes of the
# job: the worker saves, and what becomes of the job is SLURM's affair.

python=$1 directory=$2
shift 2
task=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
ended=$directory/workers/slurm-$task.exit
rm -f "$ended"

worker='' caught='' near_limit='' terminated=''

# shellcheck disable=SC2329  # invoked by the traps
ask_worker_to_save() {
    caught=yes
    # USR1, however often it comes, is one request; the worker may have had TERM from SLURM already
    if [ -n "$worker" ]; then kill -USR1 "$worker" 2>/dev/null; fi
}
trap 'near_limit=yes; ask_worker_to_save' USR1
trap 'terminated=yes; ask_worker_to_save' TERM

# Ends the job with exit code $1, kept where the launcher finds it without an accounting database.
end_with() {
    printf '%s\n' "$1" >"$ended"
    exit "$1"
}

echo "$(date '+%F %T') job $task on ${SLURMD_NODENAME:-$(uname -n)}, start $((${SLURM_RESTART_COUNT:-0} + 1)), GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
for line; do
    eval "$line" || {
        echo "The setup line '$line' failed with exit code $? on $(uname -n). Mend it in launcher.setup, or end it with '|| true' where that is no harm." >&2
        end_with 2
    }
done

threads=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
if [ -n "$caught" ]; then code=75; else # told to stop during the set-up
    "$python" -m gansweep.sweep "$directory" --name "slurm-$task" --threads "$threads" &
    worker=$!
    if [ -n "$caught" ]; then ask_worker_to_save; fi
    code=127
    while :; do
        caught=''
        wait "$worker"
        status=$?
        # 127: it had been waited for
        if [ "$status" -ne 127 ]; then code=$status; fi
        # a signal ends `wait` before the worker has ended
        if [ -z "$caught" ]; then break; fi
    done
fi

case $code in
0 | 4) end_with 0 ;; # finished, or cancelled by the user
75 | 138 | 143) # it saved, or USR1 or TERM met it before it had begun
    if [ -n "$near_limit" ] && [ -z "$terminated" ]; then
        echo "$(date '+%F %T') job $task saved before its time limit; back into the queue"
        scontrol requeue "$task" && exit 0
    fi
    ;;
esac
end_with "$code"
