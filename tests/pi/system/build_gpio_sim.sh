#!/bin/sh
# Builds the kernel's GPIO simulator as one module for Debian's arm64 kernel, which has it off.
# Runs as root inside a throw-away Debian: build_gpio_sim.sh KERNEL_VERSION SOURCE_SERIES
# (such as 6.1.0-1-arm64 6.1); leaves /build/gpio_sim.ko.
set -eu
kernel=$1
series=$2
common=${kernel%-arm64}-common

cd /build
chown _apt .
apt-get -qq download "linux-headers-$kernel:arm64" "linux-headers-$common" "linux-source-$series"
# The arm64 headers depend on an arm64 compiler, which is the one thing of them not needed here.
dpkg --force-depends --unpack ./*.deb >/dev/null
tar -xJf "/usr/src/linux-source-$series.tar.xz" --strip-components=1 --wildcards \
  '*/drivers/gpio/gpio-sim.c' '*/drivers/gpio/*.h' '*/kernel/irq/irq_sim.c'
mkdir module
mv drivers/gpio/* kernel/irq/irq_sim.c module
cd module
# The kernel keeps irq_to_desc from modules; what it exports for the purpose ends in the handler
# that is named here.
sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' irq_sim.c
grep -q 'generic_handle_irq(irqnum)' irq_sim.c
printf 'obj-m := gpio_sim.o\ngpio_sim-y := gpio-sim.o irq_sim.o\n' >Kbuild
make -s -C "/lib/modules/$kernel/build" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- M="$PWD" modules
cp gpio_sim.ko /build/
