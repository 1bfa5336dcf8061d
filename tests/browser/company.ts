/** A server, a browser and the people who have signed up at it: how most of these tests begin. */
import type { Browser, Page } from 'playwright-core';
import { openBrowser } from './browser.ts';
import { type Desk, newName, openDesk, signUp } from './person.ts';
import { RunningServer } from './running-server.ts';

export interface Person {
  readonly desk: Desk;
  readonly name: string;
  readonly username: string;
  /** What they look at now. */
  page: Page;
}

export class Company {
  readonly server: RunningServer = new RunningServer();
  readonly #desks: Desk[] = [];
  #browser: Browser | undefined;

  async start(): Promise<void> {
    await this.server.start();
    this.#browser = await openBrowser();
  }

  /** Somebody new, signed up and looking at an empty list. */
  async join(stem: string, name: string): Promise<Person> {
    const desk = await this.newDesk();
    const username = newName(stem);
    return { desk, name, username, page: await signUp(desk, username, name) };
  }

  /** A device nobody has signed in on. */
  async newDesk(): Promise<Desk> {
    if (this.#browser === undefined) throw new Error('the company is not there yet');
    const desk = await openDesk(this.#browser, () => this.server.url);
    this.#desks.push(desk);
    return desk;
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    await Promise.all(this.#desks.map(({ proxy }) => proxy.stop()));
    await this.server.stop();
  }
}
