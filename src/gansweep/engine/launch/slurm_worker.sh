#!/bin/bash
# One worker of a sweep as a job of SLURM: task of an array, submitted by launch/slurm.py as
#   sbatch ... slurm_worker.sh PYTHON DIRECTORY MAX_RETRIES [SETUP LINE]...
# Before the time limit SLURM sends USR1 to this shell only: the worker saves, and the job goes back
# into the queue. At the limit, preemption, scancel and `scontrol requeue` it sends TERM to all
# processes of the job: the worker saves, and SLURM decides what happens to the job. A job whose
# worker was killed, or was still saving at the limit, goes back into the queue too, MAX_RETRIES
# times in a row: its trial continues from the last checkpoint. So does a job whose set-up lasted
# until the warning.

python=$1 directory=$2 retries=$3
shift 3
task=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
ended=$directory/workers/slurm-$task.exit
unsaved=$directory/workers/slurm-$task.unsaved # so often in a row
rm -f "$ended"

worker='' caught='' near_limit='' terminated='' requeued=''

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

is_over_limit() { [ "$(squeue --noheader --job="$task" --format=%r)" = TimeLimit ]; }

# Puts the job back into the queue, though $1, unless that was so too often.
requeue_unsaved() {
    local before=0
    if [ -s "$unsaved" ]; then read -r before <"$unsaved"; fi
    if [ "$before" -ge "$retries" ]; then
        echo "$(date '+%F %T') job $task is given up: $1, and so it was $before times before" >&2
        return
    fi
    printf '%s\n' $((before + 1)) >"$unsaved"
    echo "$(date '+%F %T') job $task goes back into the queue: $1"
    scontrol requeue "$task" && requeued=yes
}

echo "$(date '+%F %T') job $task on ${SLURMD_NODENAME:-$(uname -n)}, start $((${SLURM_RESTART_COUNT:-0} + 1)), GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
for line; do
    eval "$line" || {
        echo "The setup line '$line' failed with exit code $? on $(uname -n). Correct it in launcher.setup, or end it with '|| true' if that does no harm." >&2
        end_with 2
    }
done

threads=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
if [ -n "$caught" ]; then code=75; else # asked to stop during the set-up
    "$python" -m gansweep.engine "$directory" --name "slurm-$task" --threads "$threads" &
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
        # now: KILL may come before the worker's end
        if [ -n "$terminated" ] && [ -z "$requeued" ] && is_over_limit; then
            requeue_unsaved 'its worker was still saving at the time limit'
        fi
    done
fi

case $code in
0 | 4) end_with 0 ;; # finished, or cancelled by the user
75 | 138 | 143) # it saved, or USR1 or TERM met it before it had begun
    if [ -n "$worker" ]; then rm -f "$unsaved"; fi
    if [ -n "$near_limit" ] && [ -z "$terminated" ]; then
        if [ -n "$worker" ]; then
            echo "$(date '+%F %T') job $task saved before its time limit; back into the queue"
            scontrol requeue "$task" && requeued=yes
        else
            requeue_unsaved 'its set-up left no time to train'
        fi
    fi
    ;;
137) # KILL: for want of memory, say
    if [ -z "$terminated" ]; then requeue_unsaved 'its worker was killed'; fi
    ;;
esac
if [ -n "$requeued" ]; then exit 0; fi
end_with "$code"
