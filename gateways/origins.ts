/** Which pages may connect (CONTRACT §3): the server's own origin, and those the operator allows. */

export interface OriginsOptions {
  /** Origins that the operator allows besides the server's own. */
  readonly allowed: readonly string[];
  /** Port of the HTTP server, whose pages also call the faster WebSocket port; 0 = not known. */
  readonly httpPort: () => number;
}

export class Origins {
  readonly #allowed: ReadonlySet<string>;
  readonly #httpPort: () => number;

  constructor(options: OriginsOptions) {
    this.#allowed = new Set(options.allowed.map((origin) => origin.toLowerCase()));
    this.#httpPort = options.httpPort;
  }

  /** No Origin header = no browser page, so nobody to protect. */
  mayConnect(origin: string, host: string): boolean {
    return origin === '' || this.isOwn(origin, host) || this.isListed(origin);
  }

  isListed(origin: string): boolean {
    return this.#allowed.has(origin.toLowerCase());
  }

  /** The page was served from the address that it now calls, or from this host's HTTP port. */
  isOwn(origin: string, host: string): boolean {
    const page = parsed(origin);
    const called = parsed(`http://${host}`);
    if (page === undefined || called === undefined || page.hostname !== called.hostname)
      return false;
    return page.host === called.host || page.port === String(this.#httpPort());
  }
}

function parsed(url: string): URL | undefined {
  return URL.canParse(url) ? new URL(url) : undefined;
}
