# shellcheck shell=bash disable=SC2016  # awk programs are meant literally
# SPDX-License-Identifier: Apache-2.0
#
# The Debian archive that this host uses, and a private apt root on it.
# Sourced by tree.sh. Nothing here reads or changes the host's own apt state: the host
# contributes only the address of its archive and its transport settings (proxy, authentication).
#
# Needs from the sourcing script: $cache, $archive (may be empty), say, warn, die.

readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Print "<uri> <suite>" for every enabled binary source with component main that the host's apt
# configuration lists, in both formats apt knows.
host_sources() {
    local directory=${RINGBED_APT_ETC:-/etc/apt} file
    for file in "$directory"/sources.list "$directory"/sources.list.d/*.list; do
        [[ -f $file ]] || continue
        awk '{ sub(/#.*/, ""); sub(/\[[^]]*\]/, "") }
             $1 == "deb" { for (i = 4; i <= NF; i++) if ($i == "main") print $2, $3 }' "$file"
    done
    for file in "$directory"/sources.list.d/*.sources; do
        [[ -f $file ]] || continue
        awk '
            function flush_stanza(   u, s, n, m, i, j) {
                if ((" " value["types"] " ") ~ / deb / && (" " value["components"] " ") ~ / main / &&
                    value["enabled"] !~ /^ *(no|false|off|0|without|disable) *$/) {
                    n = split(value["uris"], u, " "); m = split(value["suites"], s, " ")
                    for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print u[i], s[j]
                }
                split("", value); key = ""
            }
            /^#/ { next }
            /^[ \t]*$/ { flush_stanza(); next }
            /^[ \t]/ { value[key] = value[key] " " $0; next }
            { key = tolower($0); sub(/:.*/, "", key); line = $0; sub(/^[^:]*:/, "", line)
              gsub(/[ \t]+/, " ", line); value[key] = line }
            END { flush_stanza() }' "$file"
    done
}

# Print the host's candidate addresses for Debian's main archive (kind "main") or security
# archive (kind "security"), most likely first. Other vendors use Debian's suite names too, so
# an address that ends as Debian's does is preferred; apt's signature check has the last word.
host_archives() {
    local kind=$1
    host_sources | awk -v kind="$kind" '
        BEGIN { names = "^(oldoldstable|oldstable|stable|testing|unstable|sid|bullseye|bookworm|trixie|forky|duke)" }
        { sub(/\/+$/, "", $1); security = ($2 ~ /-security$/ || $2 ~ /\/updates$/) }
        $1 ~ /^cdrom:/ || $2 !~ names || (kind == "security") != security || seen[$1]++ { next }
        $1 ~ /\/debian(-security)?(\.list)?$/ { print $1; next }
        { later[++n] = $1 }
        END { for (i = 1; i <= n; i++) print later[i] }'
}

explain_missing_archive() {
    die 3 "this host's apt sources name no Debian archive, which the pinned trees come from" \
        "give the address of a Debian mirror (the part before /dists/): ./ringbed --archive URL … or export RINGBED_ARCHIVE=URL"
}

# apt_in ROOT COMMAND…: run an apt tool on the private root. The host's apt.conf still applies
# for the transport; whatever would change the choice of packages or run host hooks is cleared.
apt_in() {
    local root=$1
    shift
    LC_ALL=C APT_LISTCHANGES_FRONTEND=none "$1" -c "$root/apt.conf" "${@:2}"
}

make_apt_root() {
    local root=$1
    mkdir -p "$root"/{etc,lists/partial,archives/partial,state}
    : >"$root/status"
    cat >"$root/apt.conf" <<CONF
#clear APT::Update;
#clear APT::Architectures;
#clear APT::Default-Release;
#clear APT::NeverAutoRemove;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear Binary;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::Assume-Yes "true";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::GzipIndexes "false";
Acquire::ForceHash "SHA256";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Dir::State "$root/state";
Dir::State::Lists "$root/lists";
Dir::State::status "$root/status";
Dir::State::extended_states "$root/state/extended_states";
Dir::Cache "$root";
Dir::Cache::Archives "$root/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::SourceList "$root/etc/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::Log "$root/state";
CONF
}

# use_source ROOT URI SUITE: try one archive; on success add it to the root's source list.
use_source() {
    local root=$1 uri=$2 suite=$3 line log=$1/update.log
    line="deb [arch=amd64 signed-by=$debian_keyring] $uri $suite main"
    printf '%s\n' "$line" >"$root/etc/probe.list"
    if apt_in "$root" apt-get -q -o Dir::Etc::SourceList="$root/etc/probe.list" \
        -o APT::Get::List-Cleanup=false -o APT::Update::Error-Mode=any update >"$log" 2>&1; then
        printf '%s\n' "$line" >>"$root/etc/sources.list"
        return 0
    fi
    return 1
}

# update_apt_root ROOT SUITE: make ROOT offer SUITE with its updates and security updates.
# Ends the program when no archive can be used.
update_apt_root() {
    local root=$1 suite=$2 uri main='' security='' candidates
    [[ -r $debian_keyring ]] ||
        die 3 "Debian's archive keyring is missing ($debian_keyring)" "install the package debian-archive-keyring"
    rm -rf "$root/lists"
    make_apt_root "$root"
    : >"$root/etc/sources.list"
    candidates=${archive:-$(host_archives main)}
    [[ -n $candidates ]] || explain_missing_archive
    while read -r uri; do
        use_source "$root" "$uri" "$suite" && { main=$uri; break; }
        sed 's/^/  apt: /' "$root/update.log" | grep -E 'apt: [EW]:' >&2 || true
        warn "no usable Debian $suite at $uri"
    done <<<"$candidates"
    [[ -n $main ]] ||
        die 3 "the Debian archive cannot be reached (tried: ${candidates//$'\n'/, })" \
            "check the network and proxy settings of apt, or name another mirror with --archive URL or RINGBED_ARCHIVE"
    use_source "$root" "$main" "$suite-updates" || warn "$main offers no $suite-updates"
    candidates=$(host_archives security)
    if [[ -n ${archive:-} || -z $candidates ]]; then
        candidates=$(sed -E 's#/debian(\.list)?$#/debian-security\1#' <<<"$main")
    fi
    while read -r uri; do
        use_source "$root" "$uri" "$suite-security" && { security=$uri; break; }
    done <<<"$candidates"
    [[ -n $security ]] || warn "no archive with security updates for $suite is reachable"
    date +%s >"$root/updated"
}

# Print "<sha256> <package> <version> <size>" of everything the root offers.
offered_packages() {
    local root=$1
    find "$root/lists" -maxdepth 1 -name '*_Packages' -print0 |
        xargs -0 -r awk '
            /^Package: / { package = $2 } /^Version: / { version = $2 } /^Size: / { size = $2 }
            /^SHA256: / { sha = $2 }
            /^$/ { if (sha != "") print sha, package, version, size; sha = "" }
            END { if (sha != "") print sha, package, version, size }'
}

# Print the newest Date: of the root's Release files, in seconds since 1970: the time stamp of
# everything that is built from a lock resolved here.
offered_epoch() {
    local root=$1 line newest=0 seconds
    while read -r line; do
        seconds=$(date -u -d "$line" +%s)
        ((seconds > newest)) && newest=$seconds
    done < <(sed -n 's/^Date: //p' "$root"/lists/*Release)
    printf '%s\n' "$newest"
}
