//# what: a table and a variable that are freed after boot, and a constant that only boot code reads, beside a change
//# changed: look_up
//# machines: x86_64
#include "kernel.h"

#define boot_text in_section(".init.text")
#define boot_data in_section(".init.data")
#define boot_const in_section(".init.rodata")

#ifdef PATCHED
#define MORE , 7, 9
#define FIRST 5
#else
#define MORE
#define FIRST 4
#endif

static const u32 known[] boot_const = { 1, 2, 3 MORE };
static u32 first boot_data = FIRST;
static const u32 kept[] = { 2, 3, 4 MORE };

void boot_text prepare(u32 index)
{
	write_register(first, known[index] + kept[index]);
	first = index;
}

u32 look_up(u32 index)
{
	return read_register(index) + FIRST;
}
