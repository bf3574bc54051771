# SPDX-License-Identifier: MIT
# The jobs of sidekiq.rb, for both its ends.
require 'sidekiq'

Redis.sadd_returns_boolean = false # what it would say of its future is no output of ours

url = "redis://127.0.0.1:#{ENV['REDIS_PORT']}/0"
Sidekiq.configure_client { |config| config.redis = { url: url } }
Sidekiq.configure_server do |config|
  config.redis = { url: url }
  config.average_scheduled_poll_interval = 0.2
end
Sidekiq.logger.level = Logger::FATAL

class Count
  include Sidekiq::Worker

  def perform(number)
    Sidekiq.redis do |r|
      r.sadd('seen', number.to_s)
      r.incr('runs')
    end
  end
end

class Hard
  include Sidekiq::Worker
  sidekiq_options retry: 3
  sidekiq_retry_in { 1 }

  def perform
    tries = Sidekiq.redis { |r| r.incr('hard-tries') }
    raise 'not yet' if tries < 3

    Sidekiq.redis { |r| r.set('hard', 'done') }
  end
end

class Hopeless
  include Sidekiq::Worker
  sidekiq_options retry: 0, dead: true

  def perform
    raise 'never'
  end
end
