/** `/metrics`: what the parts of every thread count, in the form that Prometheus reads. */
import { Gauge, Counter, Registry, collectDefaultMetrics } from 'prom-client';
import type { MetricSample } from '../core/observe.ts';

export class MetricsPage {
  readonly #process = new Registry();
  readonly #collect: () => Promise<readonly MetricSample[]>;

  /** `collect` asks every thread; what a thread cannot tell in time is left out. */
  constructor(collect: () => Promise<readonly MetricSample[]>) {
    this.#collect = collect;
    collectDefaultMetrics({ register: this.#process, prefix: 'parley_process_' });
  }

  async text(): Promise<string> {
    const page = new Registry();
    const made = new Map<string, Gauge | Counter>();
    for (const sample of await this.#collect()) {
      const known = made.get(sample.name);
      const metric = known ?? this.#make(sample, page);
      if (known === undefined) made.set(sample.name, metric);
      metric.inc(sample.labels ?? {}, sample.value);
    }
    return `${await this.#process.metrics()}\n${await page.metrics()}`;
  }

  #make(sample: MetricSample, page: Registry): Gauge | Counter {
    const shape = {
      name: sample.name,
      help: sample.help,
      labelNames: Object.keys(sample.labels ?? {}),
      registers: [page],
    };
    return sample.kind === 'counter' ? new Counter(shape) : new Gauge(shape);
  }
}
