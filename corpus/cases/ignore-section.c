//# what: a variable's first value changes, and the author says that this does not matter
//# changed: boost
#include "kernel.h"

u32 fallback_level =
#ifdef PATCHED
	4;
#else
	3;
#endif

u32 boost(u32 level)
{
#ifdef PATCHED
	level += fallback_level;
#endif
	write_register(fallback_level, level);
	return level;
}

#ifdef PATCHED
static const char ignored_name[] keep = ".data.fallback_level";
keep in_section(".kpatch.ignore.sections") const char *__UNIQUE_ID_kpatch_ignore_section_1 = ignored_name;
#endif
