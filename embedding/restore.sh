#!/bin/sh
# restore.sh FILE: puts a dump of backup.sh in the place of this stack's database. Called by `make restore`, which names the
# database. The same file stands in every folder that has a database: each folder is alone on its VM.
#
# The dump goes into a database of its own. Names are swapped when all of it is there, and swapped back if the migration
# refuses it, so a restore that fails has changed nothing. Should even that fail, nothing is started on the dump.
set -eu

: "${DATABASE:?is not set: use make restore}" "${DATABASE_SERVICE:?is not set: use make restore}"
: "${MIGRATE_SERVICE:?is not set: use make restore}" "${SERVICES:?is not set: use make restore}"
: "${ROWS:?is not set: use make restore}"
file=${1:-}
new=${DATABASE}_restoring old=${DATABASE}_replaced
began=$(date +%s)

say() { echo "restore: $*"; }
refuse() { echo "restore: $*" >&2; exit 1; }
compose() { docker compose --progress quiet "$@"; }
# shellcheck disable=SC2016 # the container's own variables
in_database() {
    compose exec -T "$DATABASE_SERVICE" sh -c 'PGUSER=$POSTGRES_USER PGPASSWORD=$POSTGRES_PASSWORD \
        PGOPTIONS="-c client_min_messages=warning" exec "$@"' sh "$@"
}
sql() { in_database psql -XqAt -v ON_ERROR_STOP=1 -d "$1" -c "$2" </dev/null; }
rows() {
    if [ "$(sql "$DATABASE" "SELECT to_regclass('public.$ROWS') IS NULL")" = t ]; then echo 0
    else sql "$DATABASE" "SELECT count(*) FROM $ROWS"; fi
}
refuse_to_overwrite() {
    there=$(rows)
    [ "$there" = 0 ] || [ "${FORCE:-}" = 1 ] ||
        refuse "$DATABASE holds $there $ROWS, which the dump would replace. If that is meant: FORCE=1"
}
is_running() { compose ps --services --status running | grep -qx "$1"; }

[ -n "$file" ] || refuse "which dump? make restore FILE=backups/$DATABASE-<time>.dump"
if [ ! -f "$file" ] || [ ! -r "$file" ]; then refuse "$file: no file that can be read, seen from $PWD"; fi
is_running "$DATABASE_SERVICE" || compose up -d --wait "$DATABASE_SERVICE"
contents=$(in_database pg_restore --list <"$file") || refuse "$file is not a dump"
echo "$contents" | grep -q "dbname: $DATABASE\$" || refuse "$file is a dump of another database, not of $DATABASE"
in_database pg_restore --file=/dev/null <"$file" || refuse "$file is broken"
[ "$(sql postgres "SELECT count(*) FROM pg_database WHERE datname = '$old'")" = 0 ] ||
    refuse "an earlier restore was cut off. $old is what was there before it: rename it back, or drop it"
refuse_to_overwrite

stopped=
for service in $SERVICES; do
    if is_running "$service"; then stopped="$stopped $service"; fi
done
step=begun
swap_back() { # whoever is on the refused dump has nothing to lose there, and would keep it from being renamed
    sql postgres "ALTER DATABASE $DATABASE ALLOW_CONNECTIONS false" &&
        sql postgres "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '$DATABASE'" >/dev/null &&
        sql postgres "ALTER DATABASE $DATABASE RENAME TO $new; ALTER DATABASE $old RENAME TO $DATABASE"
}
clean_up() {
    set +e
    trap '' HUP INT TERM
    # asked for, not remembered: a signal may come when the names are swapped and nothing here knows yet
    if [ $step = restored ]; then is_swapped=done
    else is_swapped=$(sql postgres "SELECT count(*) FROM pg_database WHERE datname = '$old'"); fi
    if [ "$is_swapped" = 0 ] || { [ "$is_swapped" = 1 ] && swap_back; }; then
        sql postgres "DROP DATABASE IF EXISTS $new WITH (FORCE)"
        say "failed; $DATABASE is what it was" >&2
    elif [ "$is_swapped" != done ]; then
        say "failed, and what is there now is not known to be what was there: nothing is started. If $old exists," \
            "it is what was there: drop $DATABASE, rename $old to $DATABASE, and start the services" >&2
        exit 1
    fi
    # shellcheck disable=SC2086 # a list of names
    [ -z "$stopped" ] || compose start $stopped
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086
if [ -n "$stopped" ]; then
    say "stopping$stopped"
    compose stop $stopped
    refuse_to_overwrite # what came in until now
fi
for _ in 1 2 3 4 5; do
    users=$(sql postgres "SELECT count(*) FROM pg_stat_activity WHERE datname = '$DATABASE' AND usename IS NOT NULL")
    if [ "$users" = 0 ]; then break; fi
    sleep 1 # whoever was stopped is gone soon
done
[ "$users" = 0 ] || refuse "$users connections to $DATABASE are open, so it can't be swapped: stop what runs on other VMs" \
    "($(sql postgres "SELECT string_agg(format('process %s of PostgreSQL for %s at %s', pid,
        coalesce(nullif(application_name, ''), usename), coalesce(host(client_addr), 'this machine')), '; ')
        FROM pg_stat_activity WHERE datname = '$DATABASE' AND usename IS NOT NULL"))"
say "reading $file into $new"
sql postgres "DROP DATABASE IF EXISTS $new WITH (FORCE)"
sql postgres "CREATE DATABASE $new TEMPLATE template0"
in_database pg_restore --exit-on-error --no-owner --no-privileges --dbname="$new" <"$file"
sql "$new" "VACUUM (ANALYZE)" # a dump has no statistics, and the first queries would be planned without

say "swapping it with $DATABASE"
sql postgres "ALTER DATABASE $DATABASE RENAME TO $old; ALTER DATABASE $new RENAME TO $DATABASE"
compose run --rm --no-deps -T "$MIGRATE_SERVICE" </dev/null # the dump may be of an older version
if [ -f restored.sql ]; then
    in_database psql -Xq1 -v ON_ERROR_STOP=1 -d "$DATABASE" <restored.sql
fi
step=restored
sql postgres "DROP DATABASE $old WITH (FORCE)"
say "$(rows) $ROWS from $file, $(($(date +%s) - began)) s"
