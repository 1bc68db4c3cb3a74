//# what: data that the kernel has points to a constant that differs
//# exit: 2
//# says: points to read_only_rows, which changed
#include "kernel.h"

static const u32 read_only_rows[] = {
	1, 2, 3,
#ifdef PATCHED
	5,
#else
	4,
#endif
};

struct driver {
	const u32 *rows;
	u32 count;
};

struct driver bus_driver = { read_only_rows, 4 };

u32 row_of(u32 row)
{
	return bus_driver.rows[read_register(row)];
}

u32 first_row(u32 row)
{
	return read_only_rows[read_register(row)];
}
