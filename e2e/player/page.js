// The page side of the harness. Go calls the functions of `harness`; each returns plain data and none rejects, so that
// a failure always arrives together with what led to it.
const harness = (() => {
  const video = document.getElementById('video');
  const report = {
    fatal: [], warnings: [], refusals: [], keySystem: '', sessions: [], waitingForKey: 0, encryptedEvents: 0,
    openSessions: 0, stalls: [], jumps: [],
  };
  let adapter = null;    // the player, behind start, seek, selectHeight
  let presented = null;  // mediaTime of the frame shown last
  let frameRate = 25;
  let seeking = false;   // the harness seeks, so the clock may leap

  const hex = (data) => [...new Uint8Array(data.buffer || data)].map((b) => b.toString(16).padStart(2, '0')).join('');
  const words = (e) => (e && e.message ? `${e.name}: ${e.message}` : String(e)).slice(0, 400);
  // refused notes what the player's own error says of an answer: an app has nothing else to go by.
  const refused = (status, reason) => {
    if (status >= 400) report.refusals.push({ status, reason: reason || '' });
  };
  const frames = (n) => new Promise((done) => {
    const step = () => (n-- > 0 ? requestAnimationFrame(step) : done());
    step();
  });

  // accessToken is the newest token of the app's server, which is asked for another from time to time.
  let accessToken = '';
  async function watchTokens(o) {
    const ask = async () => { accessToken = await (await fetch(o.tokenURL)).text(); };
    await ask();
    setInterval(() => ask().catch((e) => report.warnings.push(`token: ${words(e)}`)), o.tokenEvery);
  }

  // until waits for a condition; it gives up early when the player reports a fatal error.
  async function until(condition, milliseconds) {
    const end = performance.now() + milliseconds;
    while (!condition()) {
      if (report.fatal.length > 0 || performance.now() > end) return false;
      await new Promise((done) => setTimeout(done, 30));
    }
    return true;
  }

  // What the player asks of EME and the element does, seen from outside, once for a page.
  let watching = false;
  function watch() {
    if (watching) return;
    watching = true;
    watchKeys();
    watchVideo();
    watchClock();
  }

  function watchKeys() {
    // Not requestMediaKeySystemAccess: Shaka gets its access from MediaCapabilities.
    const create = MediaKeySystemAccess.prototype.createMediaKeys;
    MediaKeySystemAccess.prototype.createMediaKeys = function () {
      report.keySystem = this.keySystem;
      return create.call(this);
    };
    const generate = MediaKeySession.prototype.generateRequest;
    MediaKeySession.prototype.generateRequest = function (initDataType, initData) {
      const session = { initDataType, keys: [], error: '' };
      report.sessions.push(session);
      report.openSessions++;
      this.closed.then(() => report.openSessions--, () => {});
      this.addEventListener('keystatuseschange', () => {
        session.keys = [...this.keyStatuses].map(([id, status]) => ({ kid: hex(id), status }));
      });
      return generate.call(this, initDataType, initData).catch((e) => {
        session.error = words(e);
        throw e;
      });
    };
  }

  function watchVideo() {
    video.addEventListener('error', () => report.fatal.push(`video element: code ${video.error.code}: ${video.error.message}`));
    video.addEventListener('waitingforkey', () => report.waitingForKey++);
    video.addEventListener('encrypted', () => report.encryptedEvents++);
    const frame = (now, metadata) => {
      presented = metadata.mediaTime;
      video.requestVideoFrameCallback(frame);
    };
    video.requestVideoFrameCallback(frame);
  }

  // watchClock notes where the media clock stands still, or leaps, while it ought to run: from the first second on, but not while the video is
  // paused, in a seek or at its end. What the page itself sleeps through is neither.
  function watchClock() {
    let last = null;   // the sample before
    let still = null;  // {at, since} while the clock stands
    const sample = () => {
      const now = performance.now(), at = video.currentTime;
      const idle = video.paused || video.seeking || video.ended || seeking || video.webkitDecodedFrameCount < 25;
      const awake = last !== null && now - last.now < 250;
      if (!idle && awake && !last.idle) {
        const ran = at - last.at, passed = (now - last.now) / 1000;
        if (ran < 0 || ran - passed * video.playbackRate > 0.2) report.jumps.push({ at: last.at, seconds: ran });
        if (Math.abs(ran) > 0.001) {
          still = null;
        } else if (still === null) {
          still = { at, seconds: passed };
          report.stalls.push(still);
        } else {
          still.seconds += passed;
        }
      } else {
        still = null;
      }
      last = { now, at, idle };
    };
    setInterval(sample, 50);
  }

  function script(src) {
    return new Promise((done, fail) => {
      const element = document.createElement('script');
      element.src = src;
      element.onload = done;
      element.onerror = () => fail(new Error(`loading ${src}`));
      document.head.append(element);
    });
  }

  const players = {
    async shaka(o) {
      await script('shaka.js');
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      const name = (code) => Object.keys(shaka.util.Error.Code).find((k) => shaka.util.Error.Code[k] === code);
      const describe = (e) => (e && e.code !== undefined
        ? `shaka ${e.code} ${name(e.code)} ${JSON.stringify(e.data || []).slice(0, 300)}` : words(e));
      const note = (e) => {
        if (e.code === shaka.util.Error.Code.BAD_HTTP_STATUS) refused(e.data[1], e.data[3]['drm-reason']);
        else if (e.data && e.data[0] instanceof shaka.util.Error) note(e.data[0]); // the cause of a license that failed
      };
      player.addEventListener('error', (event) => {
        const e = event.detail;
        note(e);
        (e.severity === shaka.util.Error.Severity.RECOVERABLE ? report.warnings : report.fatal).push(describe(e));
      });
      await player.attach(video);
      if (o.tokenURL) {
        player.getNetworkingEngine().registerRequestFilter((type, request) => {
          if (type === shaka.net.NetworkingEngine.RequestType.MANIFEST) request.headers.Authorization = `Bearer ${accessToken}`;
        });
      }
      if (o.licenseURL) player.configure({ drm: { servers: { 'org.w3.clearkey': o.licenseURL } } });
      player.configure(o.config);
      if (o.drm && !player.configure(o.drm)) report.fatal.push('shaka: the player configuration is not understood');
      try {
        await player.load(o.url);
      } catch (e) {
        note(e);
        report.fatal.push(describe(e));
      }
      return {
        play: () => video.play(),
        seek: (t) => { video.currentTime = t; },
        heights: () => player.getVariantTracks().map((t) => t.height),
        selectHeight(height) {
          player.configure('abr.enabled', false);
          player.selectVariantTrack(player.getVariantTracks().find((t) => t.height === height), true);
        },
        async thumbnail(t) {
          const [track] = player.getImageTracks();
          const found = track && await player.getThumbnails(track.id, t);
          return found && { url: found.uris[0], x: found.positionX, y: found.positionY, width: found.width, height: found.height };
        },
        destroy: () => player.destroy(),
      };
    },

    async dashjs(o) {
      await script('dash.js');
      const player = dashjs.MediaPlayer().create();
      player.updateSettings({ debug: { logLevel: dashjs.Debug.LOG_LEVEL_NONE } });
      player.updateSettings(o.config);
      player.on('error', (event) => {
        const e = event.error || {};
        const response = (e.data && e.data.response) || {};
        refused(response.status, (response.headers || {})['drm-reason']);
        report.fatal.push(`dash.js ${e.code} ${String(e.message).slice(0, 300)}`);
      });
      let ready = false;
      player.on('streamInitialized', () => { ready = true; });
      player.initialize(video, null, false);
      if (o.tokenURL) {
        player.addRequestInterceptor((request) => {
          if (request.customData.request.type === 'MPD') request.headers = { ...request.headers, Authorization: `Bearer ${accessToken}` };
          return Promise.resolve(request);
        });
      }
      if (o.licenseURL) player.setProtectionData({ 'org.w3.clearkey': { serverURL: o.licenseURL } });
      if (o.drm) player.setProtectionData(o.drm);
      player.attachSource(o.url);
      const representations = () => player.getRepresentationsByType('video');
      return {
        // The player has to see the call: play() on the element before it attaches would leave a live MPD unrefreshed.
        play: async () => { await until(() => ready, o.timeout); player.play(); },
        seek: (t) => { if (player.isDynamic()) video.currentTime = t; else player.seek(t); },
        heights: () => representations().map((r) => r.height),
        selectHeight(height) {
          player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
          player.setRepresentationForTypeById('video', representations().find((r) => r.height === height).id, true);
        },
        thumbnail: (t) => new Promise((done) => player.provideThumbnail(t, done)),
        destroy: () => player.destroy(),
      };
    },

    async hlsjs(o) {
      await script('hls.js');
      const system = { licenseUrl: o.licenseURL || 'https://license.invalid/replaced-by-the-key-uri' };
      if (o.keyIDFilter) system.generateRequest = requestByKeyID;
      const player = new Hls({
        ...(o.drm || {
          emeEnabled: true,
          drmSystems: { 'org.w3.clearkey': system },
          // Without a configured URL, the license comes from the URI of the EXT-X-KEY that names the key.
          licenseXhrSetup: o.licenseURL ? undefined : (xhr, url, context) => { xhr.open('POST', context.decryptdata.uri, true); },
        }),
        xhrSetup: !o.tokenURL ? undefined : (xhr, url) => {
          xhr.open('GET', url, true);
          if (/\.m3u8(\?|$)/.test(url)) xhr.setRequestHeader('Authorization', `Bearer ${accessToken}`);
        },
        ...o.config,
      });
      player.on(Hls.Events.ERROR, (event, data) => {
        const xhr = data.networkDetails;
        if (xhr instanceof XMLHttpRequest) refused(xhr.status, xhr.getResponseHeader('Drm-Reason'));
        const status = data.response && data.response.code ? ` HTTP ${data.response.code}` : '';
        (data.fatal ? report.fatal : report.warnings).push(
          `hls.js ${data.type}/${data.details}${status} ${data.error ? String(data.error.message).slice(0, 300) : ''}`);
      });
      player.loadSource(o.url);
      player.attachMedia(video);
      return {
        play: () => video.play(),
        seek: (t) => { video.currentTime = t; },
        heights: () => player.levels.map((l) => l.height),
        selectHeight(height) { player.currentLevel = player.levels.findIndex((l) => l.height === height); },
        destroy: () => player.destroy(),
      };
    },

    // Video.js plays by its own VHS, and its plugin for EME takes the key systems with the source.
    async videojs(o) {
      await script('video.js');
      await script('videojs-contrib-eme.js');
      const player = videojs(video, { html5: { vhs: { overrideNative: true } }, loadingSpinner: false, errorDisplay: false, ...o.config });
      player.eme();
      player.on('error', () => report.fatal.push(`video.js ${player.error().code} ${String(player.error().message).slice(0, 300)}`));
      const type = /\.mpd(\?|$)/.test(o.url) ? 'application/dash+xml' : 'application/vnd.apple.mpegurl';
      player.src({ src: o.url, type, keySystems: o.drm });
      const representations = () => player.tech(true).vhs.representations();
      return {
        play: () => player.play(),
        seek: (t) => player.currentTime(t),
        heights: () => representations().map((r) => r.height),
        selectHeight: (height) => representations().forEach((r) => r.enabled(r.height === height)),
        destroy: async () => player.reset(), // dispose would take the element along
      };
    },
  };

  // requestByKeyID asks for the one key that the EXT-X-KEY names, whatever pssh the init segment holds.
  function requestByKeyID(initDataType, initData, context) {
    const id = context.decryptdata && context.decryptdata.keyId;
    if (!id) return { initDataType, initData };
    const kid = btoa(String.fromCharCode(...id)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
    return { initDataType: 'keyids', initData: new TextEncoder().encode(JSON.stringify({ kids: [kid] })).buffer };
  }

  // begin loads the player, and leaves it to itself.
  async function begin(o) {
    frameRate = o.frameRate;
    watch();
    try {
      if (o.tokenURL) await watchTokens(o);
      adapter = await players[o.player](o);
      if (report.fatal.length === 0) Promise.resolve(adapter.play()).catch((e) => report.warnings.push(`play: ${words(e)}`));
    } catch (e) {
      report.fatal.push(`starting ${o.player}: ${words(e)}`);
    }
    return { ok: true, ...state() };
  }

  // again ends the player, as a viewer does who presses play once more, and starts another one in the same page. What went wrong before
  // becomes a warning.
  async function again(o) {
    await stop();
    report.warnings.push(...report.fatal.splice(0));
    return start(o);
  }

  // start loads the player and waits until the clock, the pictures and (unless o.silent) the sound have advanced.
  async function start(o) {
    await begin(o);
    let from = null;
    const ok = await until(() => {
      if (from === null && video.readyState >= 2) from = video.currentTime;
      return from !== null && video.currentTime > from + 1 && video.webkitDecodedFrameCount > 5
        && (o.silent || video.webkitAudioDecodedByteCount > 0);
    }, o.timeout);
    return { ok, ...state() };
  }

  // seek pauses and waits until the frame at t is the one presented. mediaTime is the only signal that the picture on
  // the screen has changed; `seeked` comes earlier.
  async function seek(t, timeout) {
    // A clock that runs may show the next frame after pause(), so only a picture that stood still counts without a seek.
    const stood = video.paused;
    seeking = true;
    video.pause();
    const want = Math.floor(t * frameRate + 1e-6) / frameRate;
    const shown = () => !video.seeking && video.readyState >= 2
      && presented !== null && Math.abs(presented - want) < 0.5 / frameRate;
    const end = performance.now() + timeout;
    let ok = stood && shown();
    // The callback for the frame after a seek is lost now and then: the element is ready, and nothing comes. Another seek
    // within the same frame brings it back.
    for (let n = 0; !ok && performance.now() < end && report.fatal.length === 0; n++) {
      presented = null;
      adapter.seek(want + [0.5, 0.25, 0.75][n % 3] / frameRate);
      let ready = Infinity;
      await until(() => {
        if (video.seeking || video.readyState < 2) ready = Infinity;
        else if (ready === Infinity) ready = performance.now();
        return shown() || performance.now() > ready + 1500;
      }, end - performance.now());
      ok = shown();
    }
    await frames(2);
    return { ok, ...state() };
  }

  // playUntil resumes and waits until the clock has reached t, or the end.
  async function playUntil(t, timeout) {
    seeking = false;
    Promise.resolve(adapter.play()).catch((e) => report.warnings.push(`play: ${words(e)}`));
    const ok = await until(() => video.currentTime >= t || video.ended, timeout);
    return { ok, ...state() };
  }

  // resume plays on for a time, whatever went wrong before.
  async function resume(milliseconds) {
    seeking = false;
    Promise.resolve(adapter.play()).catch((e) => report.warnings.push(`play: ${words(e)}`));
    await new Promise((done) => setTimeout(done, milliseconds));
    return { ok: true, ...state() };
  }

  // switchVideo forces the rendition of the given height, plays on, and waits until a frame of that size is decoded. Near
  // the end there would be nothing left to play in the new size, so the clock goes back a little first.
  async function switchVideo(height, timeout) {
    seeking = true; // it may go back
    const heights = adapter.heights();
    if (!heights.includes(height)) return { ok: false, ...state(), missing: `the player offers heights ${heights.join(', ')}` };
    const end = performance.now() + timeout;
    const left = () => end - performance.now();
    const remaining = () => (Number.isFinite(video.duration) ? video.duration - video.currentTime : Infinity);
    if (remaining() < 6) {
      adapter.seek(Math.max(0, video.duration - 8));
      await until(() => !video.seeking, left());
    }
    adapter.selectHeight(height);
    Promise.resolve(adapter.play()).catch(() => {});
    const switched = () => video.videoHeight === height && video.readyState >= 3 && !video.seeking;
    let ok = await until(switched, Math.min(6000, left()));
    // A buffer that is replaced under a running decoder freezes the picture now and then, while the sound runs on. A seek
    // restarts the decoder, with what is in the buffer now.
    while (!ok && left() > 0 && report.fatal.length === 0) {
      report.warnings.push(`harness: no picture of height ${height} yet, seeking`);
      adapter.seek(remaining() < 6 ? Math.max(0, video.duration - 8) : video.currentTime + 0.01);
      Promise.resolve(adapter.play()).catch(() => {});
      ok = await until(switched, Math.min(6000, left()));
    }
    return { ok, ...state() };
  }

  // thumbnail finds the picture that the player would show on its timeline for t, and the color in the middle of it.
  async function thumbnail(t) {
    try {
      const { url, x, y, width, height } = await adapter.thumbnail(t);
      const picture = await createImageBitmap(await (await fetch(url)).blob());
      const context = new OffscreenCanvas(1, 1).getContext('2d');
      context.drawImage(picture, -(x + width / 2), -(y + height / 2));
      return { ok: true, ...state(), color: [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)] };
    } catch (e) {
      return { ok: false, ...state(), missing: `no thumbnail: ${words(e)}` };
    }
  }

  function state() {
    const quality = video.getVideoPlaybackQuality();
    return {
      ...report,
      missing: '',
      currentTime: video.currentTime,
      presented: presented === null ? -1 : presented,
      readyState: video.readyState,
      videoHeight: video.videoHeight,
      decodedFrames: video.webkitDecodedFrameCount,
      droppedFrames: quality.droppedVideoFrames,
      audioBytes: video.webkitAudioDecodedByteCount,
      stalls: report.stalls.filter((s) => s.seconds > 0.3),
      buffered: [...Array(video.buffered.length).keys()].map(
        (i) => `${video.buffered.start(i).toFixed(2)}-${video.buffered.end(i).toFixed(2)}`),
    };
  }

  async function stop() {
    if (adapter) await Promise.race([adapter.destroy(), new Promise((done) => setTimeout(done, 1000))]);
    return { ok: true };
  }

  return { begin, start, again, seek, playUntil, resume, switchVideo, thumbnail, state, stop };
})();
