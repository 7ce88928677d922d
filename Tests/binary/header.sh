#!/usr/bin/env bash
# header.sh COMPILER LIBRARY_FOLDER HEADER
#
# Proves:  taskreg.h compiles as C11 (a C compiler) or C++17 (a C++ compiler) with -Wall -Wextra
#          -Werror -pedantic, included first and twice, with every initialiser macro and constant
#          used; and every function it declares links against the library under that name.
# Catches: a GNU extension, a missing include, an initialiser with a field too few, a declaration
#          outside extern "C".
source "$(dirname "$0")/common.bash"
compiler=$1 libraries=$2 header=$3
folder=$(dirname "$header")

command -v "$compiler" >/dev/null || skip "$compiler is not installed"
case $(basename "$compiler") in
  *++*) language=c++ standards='c++17 c++20' ;;
  *) language=c standards='c11 c17' ;;
esac

# Struct types with the macro that initialises them, and every other constant, as the header has them.
initialisers=$(grep -oE '^#define TR_[A-Z_]+_INIT\b' "$header" | awk '{ print $2 }')
constants=$(declared_constants "$header")
texts=$(grep -oE '^#define TR_[A-Z0-9_]+ +"' "$header" | awk '{ print $2 }')
functions=$(declared_functions "$header")
{
  printf '#include "taskreg.h"\n#include "taskreg.h"\n'
  printf 'int use_initialisers(void);\nint use_initialisers(void) {\n  uint32_t bytes = 0;\n'
  for macro in $initialisers; do
    type=${macro%_INIT}
    printf '  { %s value = %s; bytes += value.size; if (value.size != sizeof value) return 1; }\n' "${type,,}" "$macro"
  done
  printf '  return bytes == 0;\n}\n'
  printf 'int64_t use_constants(void);\nint64_t use_constants(void) {\n  int64_t sum = 0;\n'
  for macro in $constants; do printf '  sum += (int64_t)(%s);\n' "$macro"; done
  for macro in $texts; do printf '  sum += sizeof %s;\n' "$macro"; done
  printf '  return sum;\n}\n'
  printf 'typedef void (*any_function)(void);\n'
  printf 'extern any_function const all_functions[];\nany_function const all_functions[] = {\n'
  for function in $functions; do
    if [ $language = c ]; then printf '  (any_function)%s,\n' "$function"
    else printf '  reinterpret_cast<any_function>(%s),\n' "$function"; fi
  done
  printf '};\n'
  printf 'int main(void) { return use_initialisers() + (tr_version() != TR_VERSION) + (all_functions[0] == 0); }\n'
} >"$scratch/use.$language"

flags=(-Wall -Wextra -Werror -pedantic)
[ $language = c ] && flags+=(-Wstrict-prototypes -Wmissing-prototypes)
for standard in $standards; do
  "$compiler" -x $language -std=$standard "${flags[@]}" -I "$folder" -c "$scratch/use.$language" -o "$scratch/use.o" ||
    fail "$compiler -std=$standard does not accept the header without a warning"
done
"$compiler" "$scratch/use.o" -L "$libraries" -ltaskreg -Wl,-rpath,"$libraries" -o "$scratch/use" ||
  fail "a program made with $compiler that uses every function does not link"
"$scratch/use" || fail 'TR_VERSION and tr_version(), or the size of an initialiser and its type, differ'
printf '%s: %s; %s initialisers, %s constants, %s functions\n' "$compiler" "$standards" \
  "$(wc -w <<<"$initialisers")" "$(wc -w <<<"$constants")" "$(wc -w <<<"$functions")"
