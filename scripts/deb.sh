#!/usr/bin/env bash
# A Debian package of a folder of the program, as scripts/dist.sh has it; needs dpkg-deb and binutils.
#   scripts/deb.sh FOLDER_OF_THE_PROGRAM OUTPUT_FILE
#   SOURCE_DATE_EPOCH   the age of everything inside
#   DEB_MAINTAINER      "Name <address>"
#   DEB_COMPRESSION     xz (as a release has it), gzip, none
set -euo pipefail
from=$(realpath "$1")
out=$2
cd "$(dirname "$0")/.."

fail() { echo "deb: $*" >&2; exit 1; }
: "${SOURCE_DATE_EPOCH:?}"
maintainer=${DEB_MAINTAINER:-Parsimony <root@localhost>}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
arch=$(dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/root
doc=$root/usr/share/doc/parsimony
mkdir -p "$root/DEBIAN" "$root/etc/parsimony" "$doc" "$root/usr/share/man/man1" "$root/usr/lib/systemd/system" \
  "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
  "$root/usr/share/fish/vendor_completions.d"

# --- The program -------------------------------------------------------------------------------------
install -D -m 755 "$from/parsimony" "$root/usr/bin/parsimony"
depends=
if [ "$(head -c 4 "$from/parsimony" | tail -c 3)" = ELF ]; then
  strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/parsimony"
  needed() { readelf -d "$root/usr/bin/parsimony" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
  # The newest version of each library's names that the program asks for.
  newest() { readelf -V -W "$root/usr/bin/parsimony" | grep -o "$1_[0-9.]*" | sed "s/^$1_//" | sort -V | tail -1; }
  for library in $(needed); do
    case $library in
      libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | ld-linux*) package="libc6 (>= $(newest GLIBC))" ;;
      libgcc_s.so.1) package="libgcc-s1 (>= 4.2)" ;;
      libssl.so.3 | libcrypto.so.3) package="libssl3 (>= $(newest OPENSSL))" ;;
      *) fail "the program needs $library, which belongs to no package that is known here" ;;
    esac
    case ", $depends," in *", $package,"*) ;; *) depends=${depends:+$depends, }$package ;; esac
  done
fi
cp packaging/deb/config.json "$root/etc/parsimony/"
chmod 640 "$root/etc/parsimony/config.json"
sed -e 's,/usr/local/bin,/usr/bin,; s,^Documentation=.*,Documentation=man:parsimony(1) file:/usr/share/doc/parsimony/README.md,; /^#/{/Install, as root/,/systemctl enable/d}' \
  packaging/parsimony.service | sed '1{/^# Parsimony as a system service/d}' >"$root/usr/lib/systemd/system/parsimony.service"

# npm packages, without what only their developers or browsers read; their licences are in the list of all. Parse
# Dashboard itself stays as it is, which its licence asks for.
modules=$root/usr/lib/parsimony/node_modules
mkdir -p "$(dirname "$modules")"
cp -r "$from/lib/parsimony/node_modules" "$modules"
find "$modules" -path "$modules/parse-dashboard/*" ! -path "$modules/parse-dashboard/node_modules*" -prune -o -type f \( \
  -iname 'license*' -o -iname 'licence*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'readme*' -o -iname 'changelog*' \
  -o -iname 'history*' -o -name '*.md' -o -name '*.ts' -o -name '*.map' -o -name '*.flow' -o -name '.*' \) -exec rm {} +
find "$modules" -type d \( -path '*/node_modules/parse/dist' -o -path '*/node_modules/parse/lib/browser' \
  -o -path '*/node_modules/parse/lib/react-native' -o -path '*/node_modules/parse/lib/weapp' -o -name .bin \) -prune -exec rm -rf {} +
find "$modules" -depth -type d -empty -exec rmdir {} +
# Some of npm's files can be run by mistake.
find "$modules" -type f -perm /111 -exec sh -c 'for file; do [ "$(head -c 2 "$file")" = "#!" ] || chmod 644 "$file"; done' sh {} +

# --- What is read ------------------------------------------------------------------------------------
gzip -9nc "$from/man/parsimony.1" >"$root/usr/share/man/man1/parsimony.1.gz"
cp "$from/completions/parsimony.bash" "$root/usr/share/bash-completion/completions/parsimony"
cp "$from/completions/_parsimony" "$root/usr/share/zsh/vendor-completions/_parsimony"
cp "$from/completions/parsimony.fish" "$root/usr/share/fish/vendor_completions.d/parsimony.fish"
cp -r "$from/docs" "$from/README.md" "$doc/"
cp packaging/deb/copyright "$doc/"
install -D -m 644 packaging/deb/lintian-overrides "$root/usr/share/lintian/overrides/parsimony"
for file in THIRD-PARTY-LICENSES.txt sbom.cdx.json; do gzip -9nc "$from/$file" >"$doc/$file.gz"; done
gzip -9nc "$from/CHANGELOG.md" >"$doc/CHANGELOG.md.gz"
gzip -9nc >"$doc/changelog.gz" <<CHANGES
parsimony ($version) unstable; urgency=medium

  * What is new is in CHANGELOG.md.gz.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGES

# --- The package -------------------------------------------------------------------------------------
chmod -R u+rwX,go+rX,go-w "$root"
chmod 640 "$root/etc/parsimony/config.json"
size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib + 0 }')
sed -e "s,@VERSION@,$version,; s,@ARCH@,$arch,; s,@SIZE@,$size,; s|@DEPENDS@|${depends:-libc6}|; s,@SECTION@,net," \
  -e "s|@MAINTAINER@|$maintainer|" packaging/deb/control >"$root/DEBIAN/control"
echo /etc/parsimony/config.json >"$root/DEBIAN/conffiles"
install -m 755 packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN/"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f ! -path './etc/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# One thread: the number of threads decides where blocks end.
dpkg-deb --root-owner-group "-Z${DEB_COMPRESSION:-xz}" --threads-max=1 --build "$root" "$out" >/dev/null
