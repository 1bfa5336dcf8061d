/** For tests: a gateway that is reached over a real carrier. */
import type { SessionLimits } from '../session/limits.ts';
import { runGateway, type RunningGateway } from './running-gateway.ts';
import { TestClient, type TestClientOptions } from './test-client.ts';
import type { Format } from '../wire.ts';

/** Starts a carrier on a free port and returns it with the way to end it. */
export type StartCarrier = (
  running: RunningGateway,
) => Promise<{ readonly port: number; stop(): Promise<void> | void }>;

/** A gateway behind a carrier, and the clients of one test. */
export class CarrierHouse {
  running!: RunningGateway;
  url = '';
  port = 0;
  readonly format: Format;
  readonly #start: StartCarrier;
  readonly #clients: TestClient[] = [];
  #stop: (() => Promise<void> | void) | undefined;

  constructor(start: StartCarrier, format: Format) {
    this.#start = start;
    this.format = format;
  }

  async open(limits: Partial<SessionLimits> = {}): Promise<void> {
    this.running = runGateway(limits);
    const carrier = await this.#start(this.running);
    this.port = carrier.port;
    this.url = `ws://127.0.0.1:${carrier.port}/v1/ws`;
    this.#stop = () => carrier.stop();
  }

  client(options: Partial<TestClientOptions> = {}): TestClient {
    const client = new TestClient({ url: this.url, format: this.format, ...options });
    this.#clients.push(client);
    return client;
  }

  async end(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.running.gateway.stop();
    await this.#stop?.();
  }
}
