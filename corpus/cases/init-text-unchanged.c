//# what: several functions share one section, which is unchanged beside a changed function
//# changed: spin_motor
#include "kernel.h"

in_section(".init.text") int set_up_motor(u32 motor)
{
	write_register(motor, 5);
	return _printk("motor %u is ready\n", motor);
}

in_section(".init.text") int set_up_brake(u32 brake)
{
	write_register(brake, 6);
	return _printk("brake %u is ready\n", brake);
}

int spin_motor(u32 motor, u32 speed)
{
#ifdef PATCHED
	if (speed > 90)
		speed = 90;
#endif
	write_register(motor, speed);
	return _printk("motor %u spins\n", motor);
}
