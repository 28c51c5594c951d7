#!/bin/sh
# Prints connections.nft with the ports and the fleet of .env in the place of its defaults. Called by `make host-rules`.
set -eu

value() { # of a variable in .env, without quotes and what Compose takes for a comment; nothing where it is not set
    [ ! -f .env ] || sed -n "s/^$1=//p" .env | tail -n 1 | sed "s/^\([^\"'].*\)[[:blank:]]#.*/\1/; s/[[:blank:]]*$//" | tr -d "\"'"
}
networks() { # of nginx `allow` lines, those with a colon (-e) or without (-v)
    value GATEWAY_FLEET_ALLOW | tr ';' '\n' | sed -n 's/^ *allow  *//p' | grep "$1" : | paste -s -d , - | sed 's/,/, /g'
}

http=$(value HTTP_PORT) https=$(value HTTPS_PORT)
fleet='' fleet6=''
if [ -n "$(value GATEWAY_FLEET_ALLOW)" ]; then
    # an empty list is no list to nft: this VM itself, which is not counted anyway
    fleet=$(networks -v || true) fleet6=$(networks -e || true)
    fleet=${fleet:-127.0.0.1} fleet6=${fleet6:-::1}
fi
sed -e "s|^define PORTS = .*|define PORTS = { ${http:-80}, ${https:-443} }|" \
    ${fleet:+-e "s|^define FLEET = .*|define FLEET = { $fleet }|"} \
    ${fleet6:+-e "s|^define FLEET6 = .*|define FLEET6 = { $fleet6 }|"} host/connections.nft
