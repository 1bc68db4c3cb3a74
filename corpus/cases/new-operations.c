//# what: a changed function uses a new constant table of new functions
//# changed: select_driver
//# new: quiet_start quiet_stop
#include "kernel.h"

struct driver {
	int (*start)(u32 unit);
	int (*stop)(u32 unit);
};

static int loud_start(u32 unit)
{
	return _printk("unit %u starts\n", unit);
}

static int loud_stop(u32 unit)
{
	return _printk("unit %u stops\n", unit);
}

static const struct driver loud = { loud_start, loud_stop };

#ifdef PATCHED
static int quiet_start(u32 unit)
{
	write_register(unit, 1);
	return 0;
}

static int quiet_stop(u32 unit)
{
	write_register(unit, 0);
	return 0;
}

static const struct driver quiet = { quiet_start, quiet_stop };
#endif

const struct driver *select_driver(u32 unit)
{
#ifdef PATCHED
	if (read_register(unit) & 8)
		return &quiet;
#endif
	return read_register(unit) ? &loud : 0;
}
