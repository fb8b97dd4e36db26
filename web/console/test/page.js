// The console as the story of browser.js drives it: its page, and what a quiet page does not do.
import path from 'node:path';

export const pictures = path.resolve(import.meta.dirname, '../../../build/console');
const patience = 20_000; // for a step; nothing takes that long on a machine that works

/** What the page did that a quiet page does not do. */
export class Watch {
  foreign = [];
  errors = [];
  breaches = [];
  sockets = [];

  constructor(address) {
    this.address = address;
  }

  async follow(context) {
    context.on('request', (request) => this.#visit(request.url()));
    context.on('weberror', (error) => this.errors.push(error.error().message));
    context.on('console', (message) => {
      if (message.type() === 'error') {
        this.errors.push(message.text());
      }
    });
    await context.exposeBinding('reportBreach', (_, breach) => this.breaches.push(breach));
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        window.reportBreach(`${violatedDirective} ${blockedURI}`),
      );
    });
    context.on('page', (page) =>
      page.on('websocket', (socket) => {
        this.#visit(socket.url());
        this.sockets.push(socket);
      }),
    );
  }

  #visit(text) {
    const url = new URL(text);
    if (!['data:', 'blob:'].includes(url.protocol) && url.host !== this.address) {
      this.foreign.push(text);
    }
  }
}

/** The page as a person sees it. */
export class ConsolePage {
  constructor(page) {
    this.page = page;
    this.bar = page.getByRole('banner');
    this.tabs = page.getByRole('tab');
  }

  /** What an editor shows, from the top; the editor itself keeps its lines in any order and wraps long ones. */
  async text(region) {
    const lines = await this.page.locator(`${region} .view-lines`).first().evaluate((all) =>
      [...all.children]
        .sort((one, other) => Number.parseFloat(one.style.top) - Number.parseFloat(other.style.top))
        .map((line) => line.textContent),
    );
    return lines.join('\n').replaceAll('\u00a0', ' ');
  }

  async until(what, holds) {
    for (const late = Date.now() + patience; ; await this.page.waitForTimeout(20)) {
      const seen = await holds();
      if (seen) {
        return seen;
      }
      if (Date.now() > late) {
        throw new Error(`${what}: it does not come to that; the answer reads\n${await this.text('.graphiql-response')}`);
      }
    }
  }

  /** Brings a tab to the front and returns the variables it shows, once they are filled. */
  async open(name) {
    await this.page.getByRole('tablist').getByRole('button', { name, exact: true }).click();
    return this.until(`the variables of ${name}`, async () => {
      const shown = await this.text('[aria-label="Variables"]');
      return !/""|\[\]/.test(shown) && /^\{[^]*\}$/.test(shown) && shown;
    });
  }

  async run() {
    await this.page.getByRole('button', { name: /^(Execute|Stop) query/ }).click();
  }

  /** Runs what is in front and waits for an answer that has the pattern, and never for one with errors. */
  async answer(what, pattern) {
    return this.until(what, async () => {
      const shown = await this.text('.graphiql-response');
      if (/"errors": \[/.test(shown)) {
        throw new Error(`${what}: refused\n${shown}`);
      }
      return pattern.test(shown) && shown;
    });
  }

  async example(name, pattern) {
    const variables = await this.open(name);
    await this.run();
    await this.answer(name, pattern);
    return variables;
  }

  /** Writes the variables of the tab in front. */
  async fillVariables(values) {
    await this.page.locator('[aria-label="Variables"] .view-lines').first().click();
    await this.page.keyboard.press('ControlOrMeta+A');
    await this.page.keyboard.insertText(JSON.stringify(values, null, 2));
    await this.page.keyboard.press('ControlOrMeta+Shift+End'); // brackets that the editor has closed by itself
    await this.page.keyboard.press('Delete');
    await this.until('the variables', async () => (await this.text('[aria-label="Variables"]')).includes(values.input.token));
  }

  async signIn(email, password) {
    const form = this.page.getByRole('form', { name: 'Sign in' });
    await form.getByLabel('E-mail').fill(email);
    await form.getByLabel('Password').fill(password);
    await form.getByRole('button', { name: 'Sign in', exact: true }).click();
  }

  async prove(text) {
    const form = this.page.getByRole('form', { name: 'Second factor' });
    await form.getByLabel('Code').fill(text);
    await form.getByRole('button', { name: 'Prove' }).click();
  }

  async shows(...texts) {
    await this.until(`the bar shows ${texts}`, async () => {
      const shown = await this.bar.innerText();
      return texts.every((text) => shown.includes(text));
    });
  }

  async signOut() {
    await this.bar.getByRole('button', { name: 'Sign out' }).click();
    await this.shows('Demo');
  }

  stored() {
    return this.page.evaluate(() => JSON.parse(window.sessionStorage.getItem('marquee:session') ?? 'null'));
  }

  /** Loads the page again as one that finds the session so changed. */
  async restart(changes) {
    await this.page.evaluate((all) => {
      const kept = JSON.parse(window.sessionStorage.getItem('marquee:session'));
      window.sessionStorage.setItem('marquee:session', JSON.stringify({ ...kept, ...all }));
    }, changes);
    await this.page.reload();
  }

  /** Whether a text is kept where a later visit or another tab could read it. */
  keepsBeyondTheTab(text) {
    return this.page.evaluate((one) => JSON.stringify(window.localStorage).includes(one) || document.cookie !== '', text);
  }

  /** Takes a picture once the editors have coloured what they show and found no fault in it. */
  async picture(name) {
    await this.until('a settled page', () =>
      this.page.evaluate(() => {
        const tokens = document.querySelectorAll('.graphiql-query-editor .view-line span[class^=mtk]');
        const colours = new Set([...tokens].map((token) => token.className));
        return colours.size > 1 && document.querySelector('.squiggly-error') === null;
      }),
    );
    await this.snap(name);
  }

  async snap(name) {
    const file = path.join(pictures, name);
    await this.page.screenshot({ path: file });
    console.log(`           picture  ${path.relative(process.cwd(), file)}`);
  }
}

/** A page in a browser of its own, which remembers nothing, watched from its first request. */
export async function openPage(browser, watch, answers = {}) {
  // An editor holds only the lines that it shows: the longest variables of an example are to fit.
  const context = await browser.newContext({ viewport: { width: 1440, height: 1300 }, colorScheme: 'light' });
  context.setDefaultTimeout(patience);
  await watch.follow(context);
  for (const [url, json] of Object.entries(answers)) {
    await context.route(url, (route) => route.fulfill({ json }));
  }
  return context.newPage();
}

export function must(holds, otherwise) {
  if (!holds) {
    throw new Error(otherwise);
  }
}
