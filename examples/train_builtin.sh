#!/bin/sh
# Make the built-in weights again: draw people, then train on them in two steps, the patches larger in the second.
#
#     sh examples/train_builtin.sh WORK
#
# WORK is a new folder to work in; the result is WORK/osnet_x0_25.safetensors. The network is shown some 580,000 crops:
# go and do something else.
# What counts is the last epoch of each step: no photograph decides anything here.
set -eu
work=${1:?"usage: sh examples/train_builtin.sh WORK"}
here=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS=1

learn() { # STEP HEIGHT WIDTH OPTIONS...
    step=$1 height=$2 width=$3
    shift 3
    osnet-train "$work/people/labels.csv" --name "$step" --runs "$work/runs" --arch osnet_x0_25 \
        --patch-height "$height" --patch-width "$width" --val-fraction 0.05 --seed 0 --batch-size 64 \
        --optimizer adam --no-amsgrad --weight-decay 0.0005 --clip 0 --flip 0.5 --jitter 0.1 --erase 0 \
        --random-patch 0 --blur 0 --grey 0 --rotate 0 --cache memory --threads 1 --workers 1 "$@"
}

python "$here/make_crops.py" --images "$work/people" --seed 11 --missing 0 \
    --identities 4000 --crops 8 --cameras 100 --plain 0.6 --spread 0.5

learn a 64 32 --weights none --loss softmax --label-smoothing 0.1 --lr 0.002 --warmup-epochs 0.5 --schedule cosine \
    --epochs 8 --eval-every 8 --ema 0.99 --pad 3 --precision fp32
learn b 128 64 --weights "$work/runs/a/weights/last.safetensors" --loss arcface --arcface-margin 0.5 \
    --arcface-scale 16 --lr 0.002 --backbone-lr 0.002 --warmup-epochs 0.3 --schedule steps --milestones 8 \
    --gamma 0.3 --epochs 11 --eval-every 11 --ema 0.999 --pad 6 --precision bf16

python - "$work/runs/b/weights/last.safetensors" "$work/osnet_x0_25.safetensors" <<'END'
import sys

from osnet_encoder.weights import load, save

source, target = sys.argv[1:]
weights = load(source)
# what is written anyway; and the metrics, whose thresholds are those of drawn people
left_out = ("format", "variant", "patch", "normalize", "features", "metrics")
metadata = {name: value for name, value in weights.metadata.items() if name not in left_out}
save(target, weights.tensors, spec=weights.spec, normalize=weights.normalize, metadata=metadata, half=True)
END
