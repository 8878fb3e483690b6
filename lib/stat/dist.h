/* dist.h - distribution functions and quantiles: normal, Student t, beta, binomial.
 *
 * All in double, to about 1e-12 relative where the result is not subnormal (1e-9 with 1e5 trials or
 * degrees of freedom, where lgamma's digits cancel). Arguments outside of the domain give NaN. Pure
 * functions, thread-safe. No memory.
 */
#ifndef MOE_STAT_DIST_H
#define MOE_STAT_DIST_H

#include <stdint.h>

/* Phi(z) = erfc(-z/sqrt 2)/2 and its inverse (Newton's method on erfc from the rational start of
 * Abramowitz & Stegun 26.2.23). p in (0, 1). */
double moe_normal_cdf(double z);
double moe_normal_quantile(double p);

/* Regularised incomplete beta I_x(a, b), a, b > 0, 0 <= x <= 1: continued fraction of DLMF 8.17.22
 * by the modified Lentz method, with I_x(a,b) = 1 - I_{1-x}(b,a) where that converges faster. */
double moe_beta_cdf(double x, double a, double b);
/* x with I_x(a, b) = p, by bisection to the last bit. */
double moe_beta_quantile(double p, double a, double b);

/* Student t with df > 0 degrees of freedom (need not be an integer): P(T <= t) = 1 -
 * I_{df/(df+t^2)}(df/2, 1/2)/2 for t >= 0. */
double moe_t_cdf(double t, double df);
double moe_t_quantile(double p, double df);

/* P(X <= k), X ~ Binomial(n, p): I_{1-p}(n-k, k+1). */
double moe_binomial_cdf(int64_t k, int64_t n, double p);

#endif
