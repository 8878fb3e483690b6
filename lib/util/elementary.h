/* elementary.h - exp, log, sin and the like, with the same bits on every machine.
 *
 * The C library's have other roundings in another version, on another processor, even in another of
 * its own clones. These are additions, multiplications and divisions in a fixed order, which IEEE
 * 754 rounds alike everywhere (the Makefile forbids contraction). Error below 3 units in the last
 * place of a double; pow's grows with |y log x|, 1 unit for each factor of e. Special values as in
 * C's Annex F. Everything that training, sampling or routing computes uses these; statistics of the
 * report, which decide no bit of a run, use the C library.
 * sqrt, floor, ldexp and remainder are exact by the standard, and are used as they are.
 */
#ifndef MOE_UTIL_ELEMENTARY_H
#define MOE_UTIL_ELEMENTARY_H

double moe_exp(double x);
double moe_log(double x);
double moe_log1p(double x);         /* log(1 + x), without cancellation */
double moe_pow(double x, double y); /* x > 0 */
double moe_sin(double x);           /* |x| < 1e6 for the stated error */
double moe_cos(double x);

#endif
