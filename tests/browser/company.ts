/**
 * A server, a browser and the people who have signed up at it: how most of these tests begin. The
 * server and the browser are the same for all companies: the first starts them, the last ends them.
 */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { openBrowser } from './browser.ts';
import { closeDesk, type Desk, newName, openDesk, signUp } from './person.ts';
import { RunningServer } from './running-server.ts';

export interface Person {
  readonly desk: Desk;
  readonly name: string;
  readonly username: string;
  /** What they look at now. */
  page: Page;
}

const shared = {
  companies: 0,
  server: undefined as RunningServer | undefined,
  browser: undefined as Promise<Browser> | undefined,
};

/** To be made where a suite is described. */
export class Company {
  readonly server: RunningServer = (shared.server ??= new RunningServer());
  readonly #desks: Desk[] = [];

  constructor() {
    shared.companies++;
  }

  async start(): Promise<void> {
    await (shared.browser ??= open(this.server));
  }

  /** Somebody new, signed up and looking at an empty list. */
  async join(stem: string, name: string): Promise<Person> {
    const desk = await this.newDesk();
    const username = newName(stem);
    return { desk, name, username, page: await signUp(desk, username, name) };
  }

  /** A device nobody has signed in on; `at`: another server than that of all. */
  async newDesk(
    options: BrowserContextOptions = {},
    at: RunningServer = this.server,
  ): Promise<Desk> {
    const browser = await shared.browser;
    if (browser === undefined) throw new Error('the company is not there yet');
    const desk = await openDesk(browser, () => at.url, options);
    this.#desks.push(desk);
    return desk;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#desks.map(closeDesk));
    if (--shared.companies > 0) return;
    try {
      await (await shared.browser)?.close();
    } finally {
      await this.server.stop();
    }
  }
}

async function open(server: RunningServer): Promise<Browser> {
  await server.start();
  return openBrowser();
}
