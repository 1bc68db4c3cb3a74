//# what: the patched object refers no longer to a section, so the assembler drops its section symbol
//# changed: begin_scan
#include "kernel.h"

static keep u32 scan_state = 4;

static keep noinline int scan_once(u32 unit)
{
	write_register(unit, 1);
	return read_register(unit);
}

int begin_scan(u32 unit)
{
#ifdef PATCHED
	write_register(unit, 2);
	return 0;
#else
	scan_state++;
	return scan_once(unit) + 1;
#endif
}
