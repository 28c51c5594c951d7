#!/bin/sh
# Applies what changed in .env, in the template, in a name's address or in the certificate to the running nginx, which
# goes on serving: no request is dropped and no container made anew. Called by `make reload`.
set -eu

fail() {
    echo "reload: $*" >&2
    exit 1
}

[ -n "$(docker compose ps -q --status running nginx)" ] || fail "nginx is not running: docker compose up -d"

# filled in and tried in a container of its own, which serves nobody; what nginx says against it is on standard error
dump=$(docker compose run --rm --no-deps -T -e NGINX_ENTRYPOINT_QUIET_LOGS=1 nginx nginx -q -T) ||
    fail "nginx refuses the new configuration; nothing was changed"
new=$(printf '%s\n' "$dump" | awk '/^# configuration file /{ours = $4 == "/etc/nginx/nginx.conf:"; next} ours')
[ -n "$new" ] || fail "no configuration came out; nothing was changed"

printf '%s\n' "$new" | docker compose exec -T nginx sh -c '
    cd /etc/nginx
    workers() {
        for stat in /proc/[0-9]*/stat; do
            read -r pid name state parent rest <"$stat" && [ "$name $parent" = "(nginx) 1" ] && echo "$pid"
        done 2>/dev/null
    }
    cat >nginx.conf.new
    nginx -q -t -c /etc/nginx/nginx.conf.new || { rm nginx.conf.new; exit 1; }
    before=" $(workers | tr "\n" " ")"
    cp nginx.conf nginx.conf.old
    mv nginx.conf.new nginx.conf
    nginx -q -s reload
    # the signal says nothing of how it went: new workers do
    for try in 1 2 3 4 5 6 7 8 9 10; do
        for worker in $(workers); do
            case $before in *" $worker "*) ;; *) exit 0 ;; esac
        done
        sleep 1
    done
    mv nginx.conf.old nginx.conf
    tail -n 3 /var/log/nginx/error.log >&2
    exit 1
' || fail "nginx goes on with the configuration that it had"

echo "reloaded. A container that restarts by itself has its old variables until the next: docker compose up -d"
