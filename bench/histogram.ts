/** Latencies in µs, counted in buckets that are 3 % wide: mergeable between processes. */
const BUCKETS = 1024;
const GROWTH = Math.log(1.03);

export class Histogram {
  readonly counts: number[];

  constructor(counts: readonly number[] = Array.from({ length: BUCKETS }, () => 0)) {
    this.counts = [...counts];
  }

  add(us: number): void {
    const bucket = us <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(us) / GROWTH));
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
  }

  merge(other: { readonly counts: readonly number[] }): void {
    for (const [i, count] of other.counts.entries()) this.counts[i] = (this.counts[i] ?? 0) + count;
  }

  get total(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** Upper edge of the bucket that holds the quantile, in ms. */
  quantileMs(q: number): number {
    const wanted = this.total * q;
    let sum = 0;
    for (const [i, count] of this.counts.entries()) {
      sum += count;
      if (sum >= wanted && sum > 0) return Number((Math.exp(i * GROWTH) / 1000).toFixed(3));
    }
    return 0;
  }

  summary(): { readonly p50: number; readonly p99: number; readonly p999: number } {
    return { p50: this.quantileMs(0.5), p99: this.quantileMs(0.99), p999: this.quantileMs(0.999) };
  }
}
