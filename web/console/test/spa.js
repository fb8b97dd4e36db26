// What only a browser can show of the API: sessions in cookies, which scripts and other sites cannot use, and passkeys of
// a device, here the virtual one of Chromium. The steps run in a page of the API's own site.
import { must } from './page.js';

const socketProtocol = 'graphql-transport-ws';

/** Runs inside the page: sends an operation as a single-page app does, and returns the answer with its status. */
async function ask({ query, variables, headers = {} }) {
  const answer = await fetch('/graphql', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return { status: answer.status, ...(await answer.json()) };
}

/** Runs inside the page: opens a socket without a word of who asks, and returns the answer to one query. */
function askSocket({ protocol, query }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/graphql`, protocol);
    socket.onopen = () => socket.send(JSON.stringify({ type: 'connection_init' }));
    socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'connection_ack') {
        socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
      } else if (message.type === 'next') {
        socket.onclose = null;
        socket.close();
        resolve(message.payload);
      }
    };
  });
}

/** Runs inside the page: has the device make a passkey by the server's options, or sign with one. */
async function useDevice({ options, make }) {
  const publicKey = make
    ? PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(options))
    : PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(options));
  const credential = await (make ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
  return JSON.stringify(credential);
}

const signInDocument = `mutation ($email: String!, $password: String!) { signIn(input: { email: $email, password: $password }) {
  __typename ... on SessionPayload { token refreshToken user { email } } ... on UserError { message } } }`;

/** The steps: name, and what throws when it does not hold. */
export function spaStory(server, browser) {
  const account = { email: 'customer@marquee.example', password: 'customer at the movies' };
  const site = `http://localhost:${server.address.split(':')[1]}`;
  let context;
  let page;

  const told = async (operation, pattern, otherwise) => {
    const answer = await page.evaluate(ask, operation);
    must(pattern.test(JSON.stringify(answer)), `${otherwise}: ${JSON.stringify(answer)}`);
    return answer;
  };
  const whoami = { query: '{ me { email } }' };

  return [
    ['a page of the site signs in by cookies that its scripts cannot read', async () => {
      context = await browser.newContext();
      page = await context.newPage();
      await page.goto(`${site}/`);
      await told(
        { query: signInDocument, variables: account, headers: { 'Marquee-Session': 'cookie' } },
        /"token":null,"refreshToken":null.*"email":"customer@/,
        'the sign-in',
      );
      must((await page.evaluate(() => document.cookie)) === '', 'scripts can read a cookie');
      const cookies = await context.cookies();
      must(
        cookies.length === 3 && cookies.every(({ httpOnly, sameSite }) => httpOnly && ['Lax', 'Strict'].includes(sameSite)),
        `the cookies are ${JSON.stringify(cookies)}`,
      );
      await told(whoami, /"email":"customer@/, 'a request with the cookies');
      const heard = await page.evaluate(askSocket, { protocol: socketProtocol, query: whoami.query });
      must(heard.data?.me?.email === account.email, `over a socket it is ${JSON.stringify(heard)}`);
      await told({ query: 'mutation { refreshSession { __typename } }' }, /"SessionPayload"/, 'a renewal');
      await told(whoami, /"email":"customer@/, 'a request after the renewal');
    }],
    ['a page of another site can do nothing with those cookies', async () => {
      const other = await context.newPage();
      await other.route('http://evil.example/**', (route) => route.fulfill({ contentType: 'text/html', body: '<p>evil</p>' }));
      await other.goto('http://evil.example/');
      const signOut = JSON.stringify({ query: 'mutation { signOut { signedOut } }' });
      const heard = await other.evaluate(
        async ({ url, body, types }) => {
          const outcomes = [];
          for (const mode of ['cors', 'no-cors']) {
            for (const type of types) {
              const init = { method: 'POST', mode, credentials: 'include', headers: { 'Content-Type': type }, body };
              outcomes.push(await fetch(url, init).then((answer) => answer.text(), () => 'no answer'));
            }
          }
          const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
          outcomes.push(
            await new Promise((resolve) => {
              socket.onopen = () => resolve('an open socket');
              socket.onerror = () => resolve('no answer');
            }),
          );
          return outcomes;
        },
        { url: `${site}/graphql`, body: signOut, types: ['application/json', 'text/plain'] },
      );
      must(heard.every((text) => text === 'no answer' || text === ''), `it hears ${heard}`);
      await other.setContent(
        `<form method="post" enctype="text/plain" action="${site}/graphql"><input name='${signOut.slice(0, -1)},"x":"' value='"}'></form>`,
      );
      await Promise.all([other.waitForNavigation(), other.evaluate(() => document.forms[0].submit())]);
      must(!/"signedOut":true/.test(await other.content()), 'a form of another site signs the user out');
      await other.close();
      await told(whoami, /"email":"customer@/, 'the session after the attacks');
    }],
    ['a device makes a passkey, which then signs in alone and as a second factor', async () => {
      const devices = await context.newCDPSession(page);
      await devices.send('WebAuthn.enable');
      const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true };
      await devices.send('WebAuthn.addVirtualAuthenticator', {
        options: { ...options, isUserVerified: true, automaticPresenceSimulation: true },
      });
      const challenge = async (query, variables) => {
        const { data } = await page.evaluate(ask, { query, variables });
        return Object.values(data)[0].challenge;
      };
      const making = await challenge('mutation { beginPasskey { challenge { token options } } }');
      const made = await page.evaluate(useDevice, { options: making.options, make: true });
      const passkey = (asked, credential) => ({ passkey: { token: asked.token, credential } });
      await told(
        {
          query: `mutation ($passkey: PasskeyInput!) { confirmPasskey(input: { name: "This device", passkey: $passkey }) {
            ... on ConfirmPasskeyPayload { recoveryCodes factor { kind name } } ... on UserError { message } } }`,
          variables: passkey(making, made),
        },
        /"kind":"PASSKEY","name":"This device"/,
        'the enrolment',
      );
      await told({ query: 'mutation { signOut { signedOut } }' }, /"signedOut":true/, 'the sign-out');
      const left = (await context.cookies()).map(({ name }) => name);
      must(left.length === 1 && left[0].endsWith('-device'), `after the sign-out there are ${left}`);

      const signing = await challenge('mutation { beginPasskeySignIn { challenge { token options } } }');
      const alone = await page.evaluate(useDevice, { options: signing.options, make: false });
      await told(
        {
          query: `mutation ($passkey: PasskeyInput!) { signInWithPasskey(input: { passkey: $passkey }) {
            ... on SessionPayload { user { email } } ... on UserError { message } } }`,
          variables: passkey(signing, alone),
          headers: { 'Marquee-Session': 'cookie' },
        },
        /"email":"customer@/,
        'the sign-in by the passkey alone',
      );

      const waiting = await page.evaluate(ask, {
        query: `mutation ($email: String!, $password: String!) { signIn(input: { email: $email, password: $password }) {
          ... on SecondFactorRequired { pendingToken factors } } }`,
        variables: account,
      });
      const { pendingToken, factors } = waiting.data.signIn;
      must(factors?.includes('PASSKEY'), `the account has ${factors}`);
      const proving = await challenge(
        `mutation ($token: String!) { beginPasskeyProof(input: { pendingToken: $token }) {
          ... on BeginPasskeyProofPayload { challenge { token options } } } }`,
        { token: pendingToken },
      );
      const second = await page.evaluate(useDevice, { options: proving.options, make: false });
      await told(
        {
          query: `mutation ($token: String!, $passkey: PasskeyInput!) {
            proveSecondFactor(input: { pendingToken: $token, passkey: $passkey }) {
              ... on SessionPayload { token user { email } } ... on UserError { message } } }`,
          variables: { token: pendingToken, ...passkey(proving, second) },
          headers: { 'Marquee-Session': 'bearer' },
        },
        /"token":"eyJ.*"email":"customer@/,
        'the second factor',
      );
      await context.close();
    }],
  ];
}
