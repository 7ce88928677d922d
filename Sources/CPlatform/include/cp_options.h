/* cp_options.h - the options of the command line of `taskreg`; a part of cplatform.h.

   A shim, for the tool `taskreg`.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_OPTIONS_H
#define TASKREG_CP_OPTIONS_H

#include <getopt.h>
#include <stddef.h>

/* Take the next option of a command line whose first word is the program's name, and whose words
   are put into order meanwhile: options first (getopt_long(3)). *place is 0 before the first.

   Returns its letter, with its argument, NULL if it has none; '?' if there is no such option, ':'
   if its argument is missing or it takes none, with what was written, a letter alone in `letter`;
   -1 if there are no more: what is left begins at *place. Not for more than one thread. */
static inline int cp_next_option(int count, char **words, int *place, const char **argument,
                                 char letter[3]) {
  static const struct option options[] = {
      {"json", no_argument, NULL, 'j'},      {"tree", no_argument, NULL, 't'},
      {"watch", required_argument, NULL, 'w'}, {"sort", required_argument, NULL, 's'},
      {"help", no_argument, NULL, 'h'},      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  opterr = 0;
  optopt = 0;
  optind = *place;
  int found = getopt_long(count, words, ":jtw:s:hV", options, NULL);
  *place = optind;
  *argument = optarg;
  if (found == '?' || found == ':') {
    /* Of a long one the word; of a letter perhaps one of many in a word. */
    const char *word = words[optind - 1];
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = 0;
    *argument = optopt > 0 && (word[0] != '-' || word[1] != '-') ? letter : word;
    /* A long option that takes no argument was given one. */
    if (found == '?' && optopt > 0 && *argument == word) found = ':';
  }
  return found;
}

#endif
