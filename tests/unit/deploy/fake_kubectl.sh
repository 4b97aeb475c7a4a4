#!/bin/sh
# kubectl as far as the pipeline asks: $MIGRATION is what becomes of the Job, $SICK the deployment that does not come up.
echo "$*" >>"$STATE/calls"
case "$*" in
*"wait --for=condition=${MIGRATION:-complete} "*) ;;
*" wait "*) exec sleep 60 ;;
*" get deployment/${NEW:-none} "*) ;;
*" get deployment/"*) printf 7 ;;
*" rollout status "*" deployment/${SICK:-none}") exit 1 ;;
*" rollout undo "*" deployment/${STUCK:-none}") exit 1 ;;
esac
