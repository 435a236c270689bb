#!/usr/bin/env bash
# Photographs through every verb: protect, attack both models, generate, evaluate, one page. The Toybox model has
# never seen a photograph, so this shows that the road is open, and nothing about how well it protects.
#
#   docs/results/smoke-run.sh PHOTOS CLASS_NOUN OUTPUT_DIR      (apdm must be on the path)
set -euo pipefail
photos=$1 noun=$2 out=$3
subject=(--subject "$photos" --class_noun "$noun" --same_images)

apdm protect toybox --preset toybox "${subject[@]}" --output_dir "$out/protected"
apdm personalize toybox --preset toybox "${subject[@]}" --num_class_images 64 --output_dir "$out/attacked"
apdm personalize "$out/protected" --preset toybox "${subject[@]}" --num_class_images 64 \
    --output_dir "$out/attacked-protected"

draw() { apdm generate "$1" --preset toybox --prompt "$2" --num_images 16 --output_dir "$out/pictures/$3"; }
draw "$out/attacked" "a photo of sks $noun" attacked
draw "$out/attacked-protected" "a photo of sks $noun" attacked-protected
draw toybox "a photo of $noun" class
draw "$out/protected" "a photo of $noun" class-protected

apdm evaluate "${subject[@]}" --resolution 64 --judge efficientnet-lite0 \
    --generated "$out/pictures/attacked-protected" --control "$out/pictures/attacked" \
    --class_images "$out/pictures/class" --class_images_protected "$out/pictures/class-protected" \
    --attack "DreamBooth on the Toybox model, a smoke run with photographs" --toy --output_dir "$out/report"
