#!/bin/sh
# Docker and Compose as far as roll.sh asks: a container is a file $STATE/containers/SERVICE.NUMBER that holds its tag.
echo "$*" >>"$STATE/calls"
cd "$STATE/containers"
for last; do :; done # the last word
case "$1 ${2-}" in
"compose run")
    [ "$last" != migrate ] || exit "${MIGRATE_EXIT:-0}"
    ;;
"compose up")
    count=$(echo "$*" | sed "s|.*--scale $last=\([0-9]*\).*|\1|")
    for _ in $(seq $(($(find . -name "$last.*" | wc -l) + 1)) "$count"); do
        number=$(($(cat ../number) + 1))
        echo "$number" >../number
        echo "$TAG" >"$last.$number"
        [ "$last" != "${FAILS_TO_START-}" ] || exit 1
    done
    ;;
"ps --quiet")
    service=$(echo "$*" | sed 's|.*compose\.service=\([a-z-]*\).*|\1|')
    find . -name "$service.*" | sed 's|^\./||'
    ;;
"inspect --format")
    [ "${last%.*}" = "${SICK-}" ] || echo healthy
    ;;
"rm "*)
    [ "$2" = --force ] && shift
    shift
    rm "$@"
    ;;
"kill --signal")
    [ $# -gt 3 ] || exit 1
    ;;
esac
