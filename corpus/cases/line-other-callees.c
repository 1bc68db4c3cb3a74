//# what: line numbers given to the other callees that are known to take them
//# exit: 3
//# exit[loongarch64]: 0
//# changed[loongarch64]: load_table show_place
//# exit[powerpc64-clang]: 2
#include "kernel.h"

#ifdef PATCHED
#line 333
#endif

void load_table(u32 table)
{
	__might_sleep("table.c", __LINE__);
	wait_for(table);
}

void show_place(u32 table)
{
	write_register(2, table);
	_printk("%s:%d: reached\n", __FILE__, __LINE__);
	wait_for(table);
}
