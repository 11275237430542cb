// The OpenID Provider of the tests. `node server.mjs CONFIGURATION.json`; what the file may say is in
// src/openid_provider/mod.rs. A second port, for the test itself, rotates keys and signs tokens.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import { Provider } from 'oidc-provider';

const configuration = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { issuer } = configuration;
const mountPath = new URL(issuer).pathname.replace(/\/$/, '');
const DEFAULT_RESOURCE = 'urn:wandb-auth-operator:test';

async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: 'RS256', use: 'sig' };
}

function account(id) {
  const claims = {
    sub: id,
    name: id,
    preferred_username: id,
    email: id.includes('@') ? id : `${id}@example.org`,
    email_verified: true,
    groups: ['wandb'],
  };
  return { accountId: id, claims: () => claims };
}

// The audience of a machine's token is the configured one, unless it asks for a resource by name.
const resourceIndicators = {
  enabled: true,
  defaultResource: (ctx) =>
    ctx.oidc.params?.grant_type === 'client_credentials' ? DEFAULT_RESOURCE : undefined,
  getResourceServerInfo: (ctx, resource) => ({
    audience: resource === DEFAULT_RESOURCE ? configuration.audience : resource,
    scope: '',
    accessTokenFormat: 'jwt',
    accessTokenTTL: configuration.tokenLifetime,
    jwt: { sign: { alg: 'RS256' } },
  }),
};

function handlerOf(keys) {
  const provider = new Provider(issuer, {
    clients: configuration.clients,
    jwks: { keys },
    scopes: ['openid', 'offline_access', ...configuration.scopes],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    cookies: { keys: [randomUUID()] },
    features: { clientCredentials: { enabled: true }, resourceIndicators },
    findAccount: (ctx, id) => account(id),
  });
  return provider.callback();
}

// The first key signs; a provider's keys are fixed, so new keys take a new provider.
let keys = [await newKey()];
let handle = handlerOf(keys);

function replaceKeys(replacement) {
  keys = replacement;
  handle = handlerOf(keys);
}

function serve(request, response) {
  console.log(`request ${request.method} ${request.url.split('?')[0]}`);
  if (!request.url.startsWith(`${mountPath}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(mountPath.length);
  handle(request, response);
}

async function sign(claims) {
  const [{ kid, alg, ...key }] = keys;
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ iss: issuer, iat: now, exp: now + 600, ...claims })
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .sign(await importJWK({ ...key, alg }, alg));
}

function publicPart({ d, p, q, dp, dq, qi, ...rest }) {
  return rest;
}

async function control(request, response) {
  const body = (await request.toArray()).join('');
  switch (request.url) {
    case '/rotate-keys':
      replaceKeys([await newKey(), ...keys]);
      return response.end();
    case '/withdraw-old-keys':
      replaceKeys(keys.slice(0, 1));
      return response.end();
    case '/published-keys':
      return response.end(JSON.stringify({ keys: keys.map(publicPart) }));
    case '/issue':
      return response.end(await sign(JSON.parse(body)));
    default:
      return response.writeHead(404).end();
  }
}

const server = configuration.tls
  ? https.createServer({ cert: configuration.tls.certificate, key: configuration.tls.key }, serve)
  : http.createServer(serve);
server.listen(configuration.port, configuration.address, () => {
  http.createServer(control).listen(configuration.controlPort, '127.0.0.1');
});
