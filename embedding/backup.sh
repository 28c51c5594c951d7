#!/bin/sh
# Dumps this stack's database, while it runs, to a file under backups/. Called by `make backup`, which names the database.
# The same file stands in every folder that has a database: each folder is alone on its VM.
set -eu

: "${DATABASE:?is not set: use make backup}" "${DATABASE_SERVICE:?is not set: use make backup}"

# shellcheck disable=SC2016 # the container's own variables
in_database() {
    docker compose exec -T "$DATABASE_SERVICE" \
        sh -c 'PGUSER=$POSTGRES_USER PGPASSWORD=$POSTGRES_PASSWORD exec "$@"' sh "$@"
}

umask 077 # what is dumped is for the operator's eyes only
mkdir -p backups
echo '*' >backups/.gitignore

began=$(date +%s)
file=backups/$DATABASE-$(date -u +%Y%m%dT%H%M%SZ).dump
partial=$file.partial.$$
trap 'rm -f "$partial"' EXIT
trap 'exit 1' HUP INT TERM

# gzip's first level: half the time of its default, and a quarter more of a file of vectors
in_database pg_dump --format=custom --compress=gzip:1 "$DATABASE" </dev/null >"$partial" || {
    echo "backup: pg_dump of $DATABASE failed; nothing was kept" >&2
    exit 1
}
# read to its end: the list of contents stands at the beginning, and a dump that was cut off has it too
in_database pg_restore --file=/dev/null <"$partial" || {
    echo "backup: the dump can't be read back; nothing was kept" >&2
    exit 1
}
mv "$partial" "$file"
echo "$PWD/$file: $(wc -c <"$file" | tr -d ' ') bytes, $(($(date +%s) - began)) s"
