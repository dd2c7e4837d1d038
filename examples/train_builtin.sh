#!/bin/sh
# Make the built-in weights again: draw people, then train on them in steps, the patches larger from step to step.
#
#     sh examples/train_builtin.sh WORK
#
# WORK is a new folder to work in; the result is WORK/osnet_x0_25.safetensors. The network is shown some 380,000 crops:
# go and do something else.
# Each step takes the weights of the last epoch of the step before: no photograph decides anything here.
set -eu
work=${1:?"usage: sh examples/train_builtin.sh WORK"}
here=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS=1

draw() { # FOLDER SEED OPTIONS...
    folder=$1 seed=$2
    shift 2
    python "$here/make_crops.py" --images "$work/$folder" --seed "$seed" --crops 8 --missing 0 "$@"
}

learn() { # STEP FOLDER HEIGHT WIDTH OPTIONS...
    step=$1 folder=$2 height=$3 width=$4
    shift 4
    osnet-train "$work/$folder/labels.csv" --name "$step" --runs "$work/runs" --arch osnet_x0_25 \
        --patch-height "$height" --patch-width "$width" --val-fraction 0.05 --seed 0 \
        --batch-size 64 --crops-per-identity 4 --metric-weight 1 --margin 0.3 --label-smoothing 0.1 \
        --optimizer adam --no-amsgrad --weight-decay 0.0005 --clip 0 --schedule cosine --precision fp32 \
        --flip 0.5 --erase 0.2 --random-patch 0 --blur 0 --rotate 0 --cache memory --threads 1 --workers 1 "$@"
}

draw mixed 1 --identities 1600 --cameras 40
draw plain 2 --identities 2000 --cameras 60 --plain 0.8
draw alike 3 --identities 2000 --cameras 60 --plain 0.6 --spread 0.3
draw final 4 --identities 2000 --cameras 60 --plain 0.6 --spread 0.5

learn a mixed 64 32 --weights none --loss softmax --lr 0.002 --warmup-epochs 1 --epochs 14 --eval-every 7 \
    --jitter 0.2 --grey 0.1 --ema 0.99 --pad 3
learn b plain 128 64 --weights "$work/runs/a/weights/last.safetensors" --loss softmax --lr 0.0015 \
    --backbone-lr 0.001 --warmup-epochs 0.5 --schedule constant --epochs 2 --eval-every 2 \
    --jitter 0.1 --grey 0 --ema 0.99 --pad 6
learn c alike 128 64 --weights "$work/runs/b/weights/last.safetensors" --loss triplet --lr 0.0015 \
    --backbone-lr 0.001 --warmup-epochs 0.3 --epochs 7 --eval-every 7 \
    --jitter 0.1 --grey 0 --ema 0.99 --pad 6
learn d final 128 64 --weights "$work/runs/c/weights/last.safetensors" --loss triplet --lr 0.0015 \
    --backbone-lr 0.001 --warmup-epochs 0.2 --epochs 3 --eval-every 3 \
    --jitter 0.1 --grey 0 --ema 0.98 --pad 6
learn e final 128 64 --weights "$work/runs/d/weights/last.safetensors" --loss triplet --lr 0.0015 \
    --backbone-lr 0.001 --warmup-epochs 0.1 --epochs 2 --eval-every 2 \
    --jitter 0.1 --grey 0 --ema 0.98 --pad 6 --seed 1

python - "$work/runs/e/weights/last.safetensors" "$work/osnet_x0_25.safetensors" <<'END'
import sys

from osnet_encoder.weights import load, save

source, target = sys.argv[1:]
weights = load(source)
# what is written anyway; and step e's own metrics, since step d has seen some of the people that they are of
left_out = ("format", "variant", "patch", "normalize", "features", "metrics")
metadata = {name: value for name, value in weights.metadata.items() if name not in left_out}
save(target, weights.tensors, spec=weights.spec, normalize=weights.normalize, metadata=metadata, half=True)
END
