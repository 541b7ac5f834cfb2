#!/bin/sh
# The template builds from an installed concd alone, outside the tree, and works.
set -eu

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL || :

# Only what the template needs: the header, concd.pc and the example itself. None of it has to be built.
make -s -C "$top_builddir" DESTDIR="$tmp/root" install-concdincludeHEADERS install-pkgconfigDATA \
	install-dist_exampleDATA >/dev/null
pc=$(find "$tmp/root" -name concd.pc)
[ -n "$pc" ] || { echo "no concd.pc was installed"; exit 1; }
example=$(find "$tmp/root" -path '*/examples/template' -type d)
cp -R "$example" "$tmp/copy"
chmod -R u+w "$tmp/copy"

# Only the installed header counts, not the system's.
PKG_CONFIG_LIBDIR=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$tmp/root
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
make -s -C "$tmp/copy" CFLAGS='-std=c11 -O2 -Wall -Wextra -Werror' 2>"$tmp/errors" || { cat "$tmp/errors"; exit 1; }
make -s -C "$tmp/copy" install DESTDIR="$tmp/installed" >/dev/null
plugin=$(find "$tmp/installed" -path '*/concd/plugins/template.so')
[ -n "$plugin" ] || { echo "make install put no template.so into the plugin directory"; exit 1; }

expect() {
	want=$1
	shift
	got=$("$top_builddir/tests/plugins/run_plugin" "$plugin" "$@") || :
	[ "$got" = "$want" ] || { echo "run_plugin $*: '$got' instead of '$want'"; exit 1; }
}
expect 'ok cbf43926' 123456789
expect 'ok 3421780262' -p format=decimal 123456789
expect 'failed 1 the input is empty' ''
