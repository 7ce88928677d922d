/* A plugin that has the archive inside. */

#include <taskreg.h>

uint32_t plugin_version(void);
uint32_t plugin_version(void) { return tr_version(); }
