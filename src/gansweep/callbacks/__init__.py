"""Lightning callbacks that watch a training run or stop it."""
